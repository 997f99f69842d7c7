package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// fill copies a decoded table into a struct of keys. Unlike the TOML library's
// own way it refuses keys that do not exist, does not ignore their case, goes
// through the file in its order and knows where each element of an array is.
func (r *reader) fill(path string, table map[string]any, into reflect.Value) {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		at, _ := r.places.find(join(path, a))
		bt, _ := r.places.find(join(path, b))
		if at.line != bt.line {
			return at.line - bt.line
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		field, ok := fieldOf(into, name, table[name])
		if !ok {
			r.failKey(join(path, name), "unknown key: "+hint(path, name, into.Type()))
			return
		}
		if r.fillField(join(path, name), table[name], field); r.err != nil {
			return
		}
	}
}

func (r *reader) fillField(path string, value any, field reflect.Value) {
	switch field.Kind() {
	case reflect.Struct:
		table, ok := value.(map[string]any)
		if !ok {
			r.fail(path, fmt.Sprintf("expected a table with some of the keys %s", strings.Join(keysOf(field.Type()), ", ")))
			return
		}
		r.fill(path, table, field)
	case reflect.Slice:
		tables, ok := tablesOf(value)
		if !ok {
			r.failKey(path, fmt.Sprintf("expected [[%s]] in double brackets, once for each", shownKey(path)))
			return
		}
		field.Set(reflect.MakeSlice(field.Type(), len(tables), len(tables)))
		for i, table := range tables {
			r.set = setNameOf(table)
			if path == "database" {
				r.database = databaseNameOf(table)
			}
			r.fill(element(path, i), table, field.Index(i))
		}
		if r.err == nil {
			r.set = ""
		}
		if r.err == nil && path == "database" {
			r.database = ""
		}
	default:
		r.fillLeaf(path, value, field)
	}
}

// fillLeaf sets a field that points to a single value.
func (r *reader) fillLeaf(path string, value any, field reflect.Value) {
	target := reflect.New(field.Type().Elem())
	var fits bool
	switch target.Elem().Kind() {
	case reflect.String:
		var v string
		if v, fits = value.(string); fits {
			target.Elem().SetString(v)
		}
	case reflect.Bool:
		var v bool
		if v, fits = value.(bool); fits {
			target.Elem().SetBool(v)
		}
	case reflect.Int:
		var v int64
		if v, fits = value.(int64); fits && !target.Elem().OverflowInt(v) {
			target.Elem().SetInt(v)
		}
	case reflect.Slice:
		var v []string
		if v, fits = stringsOf(value); fits {
			target.Elem().Set(reflect.ValueOf(v))
		}
	case reflect.Float64:
		switch v := value.(type) {
		case float64:
			target.Elem().SetFloat(v)
			fits = true
		case int64:
			target.Elem().SetFloat(float64(v))
			fits = true
		}
	}
	if !fits {
		r.fail(path, "expected "+meaning(target.Elem().Interface()))
		return
	}
	field.Set(target)
}

// meaning says what a key's value has to look like.
func meaning(value any) string {
	switch value.(type) {
	case duration:
		return durationMeaning
	case interval:
		return `a number and a unit in quotes, such as "12 months"`
	case []string:
		return `strings in brackets, such as ["a", "b"]`
	case bool:
		return "true or false, without quotes"
	case int:
		return "a whole number, without quotes"
	case float64:
		return "a number, without quotes"
	}
	return "a string, in quotes"
}

// tablesOf returns the tables of an array: of [[headers]], or written inline.
func tablesOf(value any) ([]map[string]any, bool) {
	if tables, ok := value.([]map[string]any); ok {
		return tables, true
	}
	array, ok := value.([]any)
	if !ok {
		return nil, false
	}
	tables := make([]map[string]any, len(array))
	for i, v := range array {
		if tables[i], ok = v.(map[string]any); !ok {
			return nil, false
		}
	}
	return tables, true
}

// stringsOf returns the strings of an array that holds nothing else.
func stringsOf(value any) ([]string, bool) {
	array, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(array))
	for i, v := range array {
		if out[i], ok = v.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

// setNameOf returns what errors call a set before it has been read.
func setNameOf(table map[string]any) string {
	text, _ := table["parent"].(string)
	parent, err := partition.ParseName(text)
	if err != nil {
		return ""
	}
	return parent.String()
}

// databaseNameOf returns the same of a database.
func databaseNameOf(table map[string]any) string {
	name, _ := table["name"].(string)
	if !databaseName.MatchString(name) {
		return ""
	}
	return name
}

// fieldOf finds the field of a key. Where there are two, one is for an array of
// tables and the other for anything else.
func fieldOf(keys reflect.Value, name string, value any) (field reflect.Value, ok bool) {
	_, array := tablesOf(value)
	for i := range keys.NumField() {
		if keys.Type().Field(i).Tag.Get("toml") != name {
			continue
		}
		if !ok || array && keys.Field(i).Kind() == reflect.Slice {
			field, ok = keys.Field(i), true
		}
	}
	return field, ok
}

func keysOf(keys reflect.Type) []string {
	names := make([]string, keys.NumField())
	for i := range names {
		names[i] = keys.Field(i).Tag.Get("toml")
	}
	return names
}

// allKeys returns every key below a struct of keys with the path to it, tables
// included, such as "set[].retention.keep".
func allKeys(keys reflect.Type, path string) []string {
	var all []string
	for i := range keys.NumField() {
		field := keys.Field(i)
		here := join(path, field.Tag.Get("toml"))
		all = append(all, here)
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner, here = inner.Elem(), here+"[]"
		}
		if inner.Kind() == reflect.Struct {
			all = append(all, allKeys(inner, here)...)
		}
	}
	return all
}

// ofDatabase is where the sets of one of several databases are.
const ofDatabase = "database[].set[]"

// hint says what may have been meant by an unknown key: a key of this table
// that is nearly the same, a table that does have the key, or any of this one's.
func hint(path, name string, keys reflect.Type) string {
	known := keysOf(keys)
	plain := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, closest := "", min(2, len(plain)/2)
	for _, k := range known {
		if d := distance(plain, k); d <= closest && (best == "" || d < closest) {
			best, closest = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	var tables []string
	here := indexes.ReplaceAllString(path, "[]")
	inDatabase := strings.HasPrefix(here, ofDatabase)
	for _, full := range allKeys(reflect.TypeFor[documentKeys](), "") {
		table, ok := strings.CutSuffix(full, "."+plain)
		// The sets of a database are like all others: only those are meant that are near.
		if !ok || table == here || inDatabase && strings.HasPrefix(table, "set[]") || !inDatabase && strings.HasPrefix(table, ofDatabase) {
			continue
		}
		header := "[" + strings.ReplaceAll(table, "[]", "") + "]"
		if strings.HasSuffix(table, "[]") {
			header = "[" + header + "]"
		}
		tables = append(tables, header)
	}
	if tables != nil {
		return "it belongs in " + strings.Join(tables, " or ")
	}
	return "expected one of " + strings.Join(known, ", ")
}

// distance is the number of single letters to insert, remove or replace that
// make one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
