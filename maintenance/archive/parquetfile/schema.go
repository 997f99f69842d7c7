package parquetfile

import (
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// record is the root of a schema. [parquet.Group] would sort the fields by name;
// this keeps the table's order.
type record struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements [parquet.Node].
func (r record) Fields() []parquet.Field { return r.fields }

// field is a column of the record.
type field struct {
	parquet.Node
	name string
}

// Name implements [parquet.Field].
func (f field) Name() string { return f.name }

// Value implements [parquet.Field]. It is for records that are Go values, which
// ours are not.
func (f field) Value(reflect.Value) reflect.Value { panic("parquetfile: rows are not Go values") }

// schema returns that of a part.
func (p Plan) schema(codecs []codec) *parquet.Schema {
	fields := make([]parquet.Field, len(p))
	group := parquet.Group{}
	for i, c := range p {
		fields[i] = field{Node: codecs[i].node, name: c.Name}
		group[c.Name] = codecs[i].node
	}
	return parquet.NewSchema("row", record{Group: group, fields: fields})
}

// check returns an error if the file is not one that a writer of this plan wrote.
func (p Plan) check(f *parquet.File, codecs []codec) error {
	found := f.Root().Columns()
	if len(found) != len(p) {
		return fmt.Errorf("the file has %d columns, not %d", len(found), len(p))
	}
	for i, c := range p {
		want, got := codecs[i].node, found[i]
		switch {
		case got.Name() != c.Name:
			return fmt.Errorf("column %d of the file is %q, not %q", i+1, got.Name(), c.Name)
		case !got.Leaf() || got.Repeated() || got.Optional() != want.Optional():
			return fmt.Errorf("the file's column %q is nested, repeated or not as optional as it should be", c.Name)
		case got.Type().String() != want.Type().String() || got.Type().Kind() != want.Type().Kind():
			return fmt.Errorf("the file's column %q is %s, not %s", c.Name, got.Type(), want.Type())
		}
	}
	return nil
}

// valid returns an error for a plan that makes no part.
func (p Plan) valid() error {
	if len(p) == 0 {
		return errors.New("a part needs a column")
	}
	if len(p) > parquet.MaxColumnIndex {
		return fmt.Errorf("%d columns are more than a part can have", len(p))
	}
	seen := map[string]bool{}
	for _, c := range p {
		if c.Name == "" || seen[c.Name] || !utf8.ValidString(c.Name) {
			return fmt.Errorf("the column name %q is empty, not unique or not UTF-8", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}
