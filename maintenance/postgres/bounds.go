package postgres

import (
	"slices"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// literal is a constant of a date or time type, as PostgreSQL printed it. Only
// the server turns it into a value.
type literal struct {
	text string
	kind partition.KeyType
}

// comparison is a condition on the key that was understood: the key, taken down
// to a grid, compared with a constant.
type comparison struct {
	grid grid
	// op is one of >= > < <= =, with the key on its left.
	op    string
	value literal
	// plain tells whether it is the bare key, >= or <, and a constant of its own type.
	plain bool
}

// checkRange is what was understood of one CHECK constraint.
type checkRange struct {
	// comparisons all hold. There may be none.
	comparisons []comparison
	// notNull tells whether it also refuses NULL, which a comparison lets pass.
	notNull bool
	// more tells whether it says something else, too.
	more bool
}

// readCheck reads the definition of a CHECK, as pg_get_constraintdef prints it
// with pg_catalog alone in the search path. It takes only what it is sure of: of
// conditions joined by AND each is read for itself, so what was understood holds
// whatever the rest says, and anything else counts for nothing.
//
// Conditions whose meaning depends on the session's time zone are not
// understood: rows were let in by sessions with time zones of their own.
func readCheck(definition, key string, keyType partition.KeyType) checkRange {
	t, ok := tokenize(definition)
	if !ok || len(t) < 3 || !t[0].is(tokenWord, "CHECK") || !t[1].is(tokenPunct, "(") {
		return checkRange{more: true}
	}
	end := closing(t, 1)
	if end < 0 {
		return checkRange{more: true}
	}
	r := checkReader{key: key, keyType: keyType}
	r.condition(t[2:end])
	return r.found
}

type checkReader struct {
	key     string
	keyType partition.KeyType
	found   checkRange
}

// condition reads a condition. PostgreSQL puts OR, NOT and AND below the top
// into parentheses of their own, so an AND outside of them joins the whole.
func (r *checkReader) condition(t []token) {
	t = unwrap(t)
	refuses := func(tok token) bool {
		return tok.kind == tokenWord && slices.Contains([]string{"OR", "NOT", "CASE", "BETWEEN"}, tok.text)
	}
	parts := splitAt(t, func(tok token) bool { return tok.is(tokenWord, "AND") })
	if len(parts) > 1 {
		if len(splitAt(t, refuses)) > 1 {
			r.found.more = true
			return
		}
		for _, part := range parts {
			r.condition(part)
		}
		return
	}
	if len(t) == 4 && t[0].isName(r.key) && t[1].is(tokenWord, "IS") && t[2].is(tokenWord, "NOT") && t[3].is(tokenWord, "NULL") {
		r.found.notNull = true
		return
	}
	c, ok := r.comparison(t)
	if !ok {
		r.found.more = true
		return
	}
	r.found.comparisons = append(r.found.comparisons, c)
}

// reversed are the operators as they read from the right.
var reversed = map[string]string{">=": "<=", ">": "<", "<": ">", "<=": ">=", "=": "="}

func (r *checkReader) comparison(t []token) (comparison, bool) {
	var op string
	sides := splitAt(t, func(tok token) bool {
		if tok.kind != tokenOperator || reversed[tok.text] == "" {
			return false
		}
		op = tok.text
		return true
	})
	if len(sides) != 2 {
		return comparison{}, false
	}
	left, right, turned := sides[0], sides[1], false
	g, bare, ok := r.keyOn(left)
	if !ok {
		left, right, op, turned = right, left, reversed[op], true
		if g, bare, ok = r.keyOn(left); !ok {
			return comparison{}, false
		}
	}
	value, direct, ok := r.constant(right)
	if !ok {
		return comparison{}, false
	}
	plain := bare && direct && !turned && value.kind == r.keyType && (op == ">=" || op == "<")
	return comparison{grid: g, op: op, value: value, plain: plain}, true
}

// keyOn reads the key, or the key taken down to a grid by date_trunc or by a
// cast to date. The second result tells whether it is the key itself.
func (r *checkReader) keyOn(t []token) (g grid, bare, ok bool) {
	t = unwrap(t)
	if len(t) == 1 {
		if !t[0].isName(r.key) {
			return 0, false, false
		}
		if r.keyType == partition.KeyDate {
			return gridDay, true, true
		}
		return gridMicrosecond, true, true
	}
	if r.keyType.Instant() {
		return 0, false, false // It would take the session's time zone.
	}
	if inner, kind, ok := cutCast(t); ok {
		g, _, ok := r.keyOn(inner)
		switch {
		case !ok:
			return 0, false, false
		case kind == string(partition.KeyDate):
			g, ok = g.then(gridDay)
			return g, false, ok
		case kind == string(partition.KeyTimestamp):
			return g, false, true
		}
		return 0, false, false
	}
	if len(t) < 4 || !t[0].is(tokenWord, "date_trunc") || !t[1].is(tokenPunct, "(") || closing(t, 1) != len(t)-1 {
		return 0, false, false
	}
	args := splitAt(t[2:len(t)-1], func(tok token) bool { return tok.is(tokenPunct, ",") })
	if len(args) != 2 || len(args[0]) != 3 || args[0][0].kind != tokenString ||
		!args[0][1].is(tokenOperator, "::") || !args[0][2].is(tokenWord, "text") {
		return 0, false, false
	}
	unit, known := gridUnits[args[0][0].text]
	g, _, ok = r.keyOn(args[1])
	if !known || !ok {
		return 0, false, false
	}
	g, ok = g.then(unit)
	return g, false, ok
}

// constant reads a constant that the key's type can be compared with in any
// session alike. The second result is false where it is cast once more.
func (r *checkReader) constant(t []token) (value literal, direct, ok bool) {
	inner, kind, ok := cutCast(unwrap(t))
	if !ok {
		return literal{}, false, false
	}
	allowed := kind == r.keyType.SQL()
	if !r.keyType.Instant() {
		allowed = kind == string(partition.KeyDate) || kind == string(partition.KeyTimestamp)
	}
	if !allowed {
		return literal{}, false, false
	}
	if len(inner) == 1 && inner[0].kind == tokenString {
		if r.keyType.Coded() {
			kind = string(r.keyType)
		}
		return literal{text: inner[0].text, kind: partition.KeyType(kind)}, true, true
	}
	// A date as a timestamp is the same point.
	value, _, ok = r.constant(inner)
	if !ok || value.kind != partition.KeyDate || kind != string(partition.KeyTimestamp) {
		return literal{}, false, false
	}
	return value, false, true
}

// cutCast parts "expression::type" at its last cast and returns the type as
// format_type prints it. A type with a precision is answered with false: the
// cast would round.
func cutCast(t []token) (inner []token, kind string, ok bool) {
	depth, at := 0, -1
	for i, tok := range t {
		depth += nesting(tok)
		if depth == 0 && tok.is(tokenOperator, "::") {
			at = i
		}
	}
	if at < 1 || at == len(t)-1 {
		return nil, "", false
	}
	for i, tok := range t[at+1:] {
		if tok.kind != tokenWord {
			return nil, "", false
		}
		if i > 0 {
			kind += " "
		}
		kind += tok.text
	}
	inner = t[:at]
	// A cast binds more tightly than any operator: what it applies to is one
	// constant, or has parentheses or a function's name around it.
	switch len(inner) {
	case 1:
		return inner, kind, true
	default:
		if inner[0].is(tokenPunct, "(") && closing(inner, 0) == len(inner)-1 {
			return inner[1 : len(inner)-1], kind, true
		}
	}
	return nil, "", false
}
