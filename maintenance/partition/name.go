package partition

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxNameBytes is how long an identifier may be before PostgreSQL cuts it
// (PostgreSQL documentation, 4.1.1 Identifiers and Key Words). Cut names have
// been counted as created tables elsewhere; here they are refused when the
// configuration is read.
const MaxNameBytes = 63

// Name is a table's or function's name with its schema, unquoted.
type Name struct{ Schema, Local string }

// String returns schema.name for people. It is not quoted and so is never SQL.
func (n Name) String() string { return n.Schema + "." + n.Local }

// ParseName reads a possibly quoted, possibly qualified name as PostgreSQL
// would: unquoted parts fold to lower case, `"A.b"` is one part, and a doubled
// quote stands for itself. Without a schema it is in public.
func ParseName(text string) (Name, error) {
	if !utf8.ValidString(text) {
		return Name{}, fmt.Errorf("%q is not a table name: it is not valid UTF-8", text)
	}
	var parts []string
	rest := text
	for {
		part, tail, err := nextPart(rest)
		if err != nil {
			return Name{}, fmt.Errorf("%q is not a table name: %w", text, err)
		}
		if len(part) > MaxNameBytes {
			return Name{}, fmt.Errorf("%q has %d bytes: PostgreSQL keeps %d of a name", part, len(part), MaxNameBytes)
		}
		parts = append(parts, part)
		if tail == "" {
			break
		}
		rest = tail[1:]
	}
	switch len(parts) {
	case 1:
		return Name{Schema: "public", Local: parts[0]}, nil
	case 2:
		return Name{Schema: parts[0], Local: parts[1]}, nil
	}
	return Name{}, fmt.Errorf("%q has %d parts: expected schema.table", text, len(parts))
}

// nextPart takes one identifier off the front of text; tail is empty or starts
// with the dot.
func nextPart(text string) (part, tail string, err error) {
	if !strings.HasPrefix(text, `"`) {
		part, tail = text, ""
		if i := strings.IndexByte(text, '.'); i >= 0 {
			part, tail = text[:i], text[i:]
		}
		if part == "" {
			return "", "", errors.New("a part is empty")
		}
		if !plain(part) {
			return "", "", fmt.Errorf("%q must be written in double quotes", part)
		}
		return asciiLower(part), tail, nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		if tail = text[i+1:]; tail != "" && tail[0] != '.' {
			return "", "", errors.New("something follows the closing quote")
		}
		if b.Len() == 0 || strings.ContainsRune(b.String(), 0) {
			return "", "", errors.New("a quoted part is empty or has a zero byte")
		}
		return b.String(), tail, nil
	}
	return "", "", errors.New("a quote is not closed")
}

// plain tells whether PostgreSQL reads the part as an identifier without quotes:
// letters, among them all that is not ASCII, underscores, and beyond the first
// place digits and dollar signs.
func plain(part string) bool {
	for i, r := range part {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r >= utf8.RuneSelf:
		case i > 0 && (r >= '0' && r <= '9' || r == '$'):
		default:
			return false
		}
	}
	return true
}

// asciiLower folds as PostgreSQL does in a UTF-8 database: ASCII letters only.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Pattern makes the names of new partitions from their periods, with a subset
// of strftime's conversions: %Y %y year, %m month, %d day, %H hour, %q quarter,
// %j day of the year, %G and %V ISO year and week, %% a percent sign. Existing
// partitions are never recognised by it: their bounds decide.
type Pattern struct{ text string }

// conversion is one % sequence: how wide it prints, what prints it here, and
// how PostgreSQL's to_char spells it (PostgreSQL documentation, 9.8 Data Type
// Formatting Functions).
type conversion struct {
	width  int
	format func(time.Time) string
	toChar string
}

var conversions = map[byte]conversion{
	'Y': {4, func(t time.Time) string { return fmt.Sprintf("%04d", t.Year()) }, "YYYY"},
	'y': {2, func(t time.Time) string { return fmt.Sprintf("%02d", t.Year()%100) }, "YY"},
	'm': {2, func(t time.Time) string { return fmt.Sprintf("%02d", t.Month()) }, "MM"},
	'd': {2, func(t time.Time) string { return fmt.Sprintf("%02d", t.Day()) }, "DD"},
	'H': {2, func(t time.Time) string { return fmt.Sprintf("%02d", t.Hour()) }, "HH24"},
	'q': {1, func(t time.Time) string { return fmt.Sprintf("%d", (int(t.Month())+2)/3) }, "Q"},
	'j': {3, func(t time.Time) string { return fmt.Sprintf("%03d", t.YearDay()) }, "DDD"},
	'G': {4, func(t time.Time) string { y, _ := t.ISOWeek(); return fmt.Sprintf("%04d", y) }, "IYYY"},
	'V': {2, func(t time.Time) string { _, w := t.ISOWeek(); return fmt.Sprintf("%02d", w) }, "IW"},
}

// ParsePattern checks a name pattern against the interval it has to tell apart
// and against [MaxNameBytes].
func ParsePattern(text string, iv Interval) (Pattern, error) {
	p := Pattern{text: text}
	used := map[byte]bool{}
	width := 0
	err := p.each(func(literal string) { width += len(literal) }, func(c byte) { used[c] = true; width += conversions[c].width })
	switch {
	case err != nil:
		return Pattern{}, fmt.Errorf("%q: %w", text, err)
	case text == "" || strings.ContainsRune(text, 0) || !utf8.ValidString(text):
		return Pattern{}, fmt.Errorf("%q cannot name a table", text)
	case width > MaxNameBytes:
		return Pattern{}, fmt.Errorf("%q makes names of %d bytes: PostgreSQL keeps %d of a name", text, width, MaxNameBytes)
	}
	month := used['Y'] && used['m']
	day := month && used['d'] || used['Y'] && used['j']
	var ok bool
	var need string
	switch iv.Unit {
	case Hour:
		ok, need = day && used['H'], "%Y, %m, %d and %H"
	case Day:
		ok, need = day, "%Y, %m and %d (or %Y and %j)"
	case Week:
		ok, need = day || used['G'] && used['V'], "%G and %V (or %Y, %m and %d)"
	case Month:
		ok, need = month, "%Y and %m"
	case Quarter:
		ok, need = month || used['Y'] && used['q'], "%Y and %q (or %Y and %m)"
	default:
		ok, need = used['Y'], "%Y"
	}
	if !ok {
		return Pattern{}, fmt.Errorf("%q gives several periods of %s one name: expected %s in it", text, iv, need)
	}
	return p, nil
}

// each walks the pattern's literals and conversions in order.
func (p Pattern) each(literal func(string), conv func(byte)) error {
	rest := p.text
	for {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			literal(rest)
			return nil
		}
		literal(rest[:i])
		if i+1 >= len(rest) {
			return errors.New("a lone % at the end: expected %% or a conversion")
		}
		c := rest[i+1]
		if c == '%' {
			literal("%")
		} else if _, ok := conversions[c]; ok {
			conv(c)
		} else {
			r, _ := utf8.DecodeRuneInString(rest[i+1:])
			return fmt.Errorf("unknown conversion %%%c: expected one of %%Y %%y %%m %%d %%H %%q %%j %%G %%V %%%%", r)
		}
		rest = rest[i+2:]
	}
}

// Format returns the name for a period that starts at from. The caller gives
// from in the location of the set's boundaries.
func (p Pattern) Format(from time.Time) string {
	var b strings.Builder
	_ = p.each(func(s string) { b.WriteString(s) }, func(c byte) { b.WriteString(conversions[c].format(from)) })
	return b.String()
}

// ToChar returns the pattern as a template for PostgreSQL's to_char, with
// every literal in double quotes, for the function that makes a period's table
// when a row needs it. An empty literal parts conversions that stand side by
// side, for to_char would read YY and YYYY as YYYY and YY.
func (p Pattern) ToChar() string {
	var b strings.Builder
	open := false
	_ = p.each(func(s string) {
		if s != "" {
			b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`)
			open = false
		}
	}, func(c byte) {
		if open {
			b.WriteString(`""`)
		}
		b.WriteString(conversions[c].toChar)
		open = true
	})
	return b.String()
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Regexp returns an anchored regular expression, in the syntax common to Go and
// PostgreSQL, that matches every name the pattern can make.
func (p Pattern) Regexp() string {
	var b strings.Builder
	b.WriteString("^")
	_ = p.each(func(s string) {
		for _, r := range s {
			if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}, func(c byte) { fmt.Fprintf(&b, "[0-9]{%d,}", conversions[c].width) })
	b.WriteString("$")
	return b.String()
}
