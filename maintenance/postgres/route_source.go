package postgres

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// routeHeader is the first line of each function that [routeFunctions] makes.
var (
	routeHeader = regexp.MustCompile(`^-- partitiond route \d+ fingerprint=([0-9a-f]{24})(?: near=([0-9,]+))? body=([0-9a-f]{64})$`)
	routeTrace  = regexp.MustCompile(`(?m)^\s*-- partitiond route \d`)
)

// classifyFunction tells from a function's source, as pg_proc.prosrc has it,
// what it is. The fingerprint is that of the route which it was made from, and
// empty unless the function is ours and whole.
func classifyFunction(source string) (state partition.FunctionState, fingerprint string) {
	header, body, _ := strings.Cut(strings.TrimPrefix(source, "\n"), "\n")
	if m := routeHeader.FindStringSubmatch(header); m != nil && bodyDigest(body) == m[3] {
		return partition.FunctionOurs, m[1]
	}
	switch {
	case routeTrace.MatchString(source), classifyNotify(source) != partition.FunctionUnknown:
		// The latter is left by a set that was declarative in between.
		return partition.FunctionAltered, ""
	case isSeedFunction(source):
		return partition.FunctionSeed, ""
	}
	return partition.FunctionUnknown, ""
}

// oidList reads OIDs with commas between them; what is none is left out.
func oidList(text string) []uint32 {
	var out []uint32
	for word := range strings.SplitSeq(text, ",") {
		if oid, err := strconv.ParseUint(word, 10, 32); err == nil {
			out = append(out, uint32(oid))
		}
	}
	return out
}

// together tells what a set's three functions are, in the order of [routeNames].
// They are ours only together.
func together(functions [3]routine) (state partition.FunctionState, fingerprint string) {
	state, fingerprint = functions[0].state, functions[0].fingerprint
	if state == partition.FunctionOurs && slices.ContainsFunc(functions[1:], func(f routine) bool {
		return f.state != state || f.fingerprint != fingerprint
	}) {
		return partition.FunctionAltered, ""
	}
	return state, fingerprint
}

// seedStatement is a kind of statement of the dynamic trigger function, as a
// regular expression for the whole of it.
type seedStatement struct {
	pattern *regexp.Regexp
	// required says that a function without it is something else.
	required bool
}

// seedStatements are all that may be in a function for it to be taken for the
// dynamic one: it is replaced without a question, so one that does more, such as
// counting rows on the side, must not match. Statements come with their white
// space reduced to single spaces and in lower case.
var seedStatements = []seedStatement{
	{regexp.MustCompile(`^execute .*'create table .*\binherits ?\(.*$`), true},
	{regexp.MustCompile(`^execute .*'insert into (%i|%s|' ?\|\|).* using new\b.*$`), true},
	{regexp.MustCompile(`^return null$`), true},
	{regexp.MustCompile(`^raise (notice|info|log|debug) .*$`), false},
	{regexp.MustCompile(`^execute .*'(grant|create index|create unique index) .*$`), false},
	{regexp.MustCompile(`^execute .*'alter table (%i|%s|' ?\|\|).* owner to .*$`), false},
	{regexp.MustCompile(`^end( if)?$`), false},
	{regexp.MustCompile(`^$`), false},
}

var (
	seedOpening     = regexp.MustCompile(`^(begin|then) `)
	seedLook        = regexp.MustCompile(`^if not exists ?\( ?select \S+ from (information_schema\.tables|(pg_catalog\.)?pg_tables|(pg_catalog\.)?pg_class) where [^()]*\) then `)
	seedDeclaration = regexp.MustCompile(`^(declare )?\w+ (text|varchar|character varying|name|date|timestamp|timestamptz)$`)
	seedAssignment  = regexp.MustCompile(`^\w+ ?:?= ?(.*)$`)
	seedRowsDate    = regexp.MustCompile(`\bto_char ?\([ (]*new\.`)
	calledFunction  = regexp.MustCompile(`(\w+) ?\(`)
	harmless        = []string{"to_char", "to_date", "date_trunc", "date_part", "quote_ident", "concat", "lower"}
)

// isSeedFunction recognises the function that makes monthly tables by EXECUTE
// from the row's own date after a look at information_schema.tables, with
// whatever names and white space, and with its GRANT in a comment or not.
func isSeedFunction(source string) bool {
	found := make([]bool, len(seedStatements))
	var looks, dates, begun bool
next:
	for _, s := range splitStatements(source) {
		if !begun {
			if seedDeclaration.MatchString(s) {
				continue
			}
			if !strings.HasPrefix(s, "begin ") {
				return false
			}
			begun = true
		}
		s = seedOpening.ReplaceAllString(s, "")
		if head := seedLook.FindString(s); head != "" {
			looks = true
			s = s[len(head):]
		}
		for i, known := range seedStatements {
			if known.pattern.MatchString(s) {
				found[i] = true
				continue next
			}
		}
		m := seedAssignment.FindStringSubmatch(s)
		if m == nil {
			return false
		}
		for _, call := range calledFunction.FindAllStringSubmatch(m[1], -1) {
			if !slices.Contains(harmless, call[1]) {
				return false
			}
		}
		dates = dates || seedRowsDate.MatchString(m[1])
	}
	for i, known := range seedStatements {
		if known.required && !found[i] {
			return false
		}
	}
	return looks && dates
}

// splitStatements parts PL/pgSQL at its semicolons, drops comments and reduces
// white space. Constants are kept as one word of the text and lose their case.
func splitStatements(source string) []string {
	var statements []string
	var b strings.Builder
	flush := func() {
		statements = append(statements, strings.ToLower(strings.Join(strings.Fields(b.String()), " ")))
		b.Reset()
	}
	for i := 0; i < len(source); {
		rest := source[i:]
		n := 1
		switch {
		case strings.HasPrefix(rest, "--"):
			n = until(rest, "\n", 2)
			b.WriteByte(' ')
		case strings.HasPrefix(rest, "/*"):
			n = until(rest, "*/", 2)
			b.WriteByte(' ')
		case rest[0] == '\'':
			escapes := i > 0 && (source[i-1] == 'e' || source[i-1] == 'E')
			n = constantLength(rest, escapes)
			b.WriteString(rest[:n])
		case rest[0] == ';':
			flush()
		default:
			b.WriteByte(rest[0])
		}
		i += n
	}
	flush()
	return statements
}

// until returns how long text is up to and with the mark, looked for from an offset.
func until(text, mark string, from int) int {
	if i := strings.Index(text[from:], mark); i >= 0 {
		return from + i + len(mark)
	}
	return len(text)
}

// constantLength returns the length of the string constant that text starts with.
func constantLength(text string, escapes bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == '\'':
			return i + 1
		}
	}
	return len(text)
}
