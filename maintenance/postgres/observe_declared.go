package postgres

import (
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// keyTypeOf returns what a column of a type is as the key of a set, empty if it
// cannot be that.
func keyTypeOf(set partition.Set, declarative bool, typeOID uint32) partition.KeyType {
	switch {
	case keyTypes[typeOID] != "":
		return keyTypes[typeOID]
	case declarative && typeOID == oidBigint:
		return set.KeyUnit.KeyType()
	case declarative && typeOID == oidUUID:
		return partition.KeyUUID
	}
	return ""
}

// declared is what follows FOR VALUES in a partition's bound.
type declared struct{ from, to declaredEdge }

// declaredEdge is a constant, or with an empty text one that has no end.
type declaredEdge struct {
	value literal
	inf   int8
}

// readDeclared reads a bound of one column, as pg_get_expr prints it.
func readDeclared(bound string, key partition.KeyType) (d declared, ok bool) {
	t, ok := tokenize(bound)
	if !ok || len(t) != 10 || !t[0].is(tokenWord, "FOR") || !t[1].is(tokenWord, "VALUES") || !t[2].is(tokenWord, "FROM") ||
		!t[3].is(tokenPunct, "(") || !t[5].is(tokenPunct, ")") || !t[6].is(tokenWord, "TO") || !t[7].is(tokenPunct, "(") || !t[9].is(tokenPunct, ")") {
		return declared{}, false
	}
	edge := func(tok token) (e declaredEdge) {
		switch {
		case tok.is(tokenWord, "MINVALUE"):
			e.inf = -1
		case tok.is(tokenWord, "MAXVALUE"):
			e.inf = 1
		case tok.kind == tokenString || tok.kind == tokenNumber:
			e.value = literal{text: tok.text, kind: key}
		default:
			ok = false
		}
		return e
	}
	d = declared{edge(t[4]), edge(t[8])}
	return d, ok
}

// literals returns the constants.
func (d declared) literals() (out []literal) {
	for _, e := range []declaredEdge{d.from, d.to} {
		if e.inf == 0 {
			out = append(out, e.value)
		}
	}
	return out
}

// bounds returns what is declared, given the values of the constants.
func (d declared) bounds(values map[literal]partition.Edge) (b partition.Bounds, ok bool) {
	edge := func(e declaredEdge) partition.Edge {
		if e.inf != 0 {
			return partition.Edge{Inf: e.inf}
		}
		value, known := values[e.value]
		ok = ok && known
		return value
	}
	ok = true
	b = partition.Bounds{From: edge(d.from), To: edge(d.to)}
	return b, ok
}

// place puts what was seen of a table where it belongs in its set's snapshot.
func place(snap *partition.Snapshot, c partition.Partition, t *table, declarative bool) {
	switch {
	case !declarative && t.detached:
		// The parent is another one than when it was taken out.
	case t.detached:
		snap.Detached = append(snap.Detached, c)
	case t.pending:
		snap.Detaching = append(snap.Detaching, c)
	case declarative && t.bound == "DEFAULT":
		c.Bounds, c.Known, c.Bytes = partition.Everywhere, partition.BoundsFromCheck, t.heap
		snap.Default = &c
	default:
		snap.Partitions = append(snap.Partitions, c)
	}
}

// keyMoment returns a test for whether a key stands for a date, and an expression
// for the date where it does. What is beyond the year 9999 is none: no window
// reaches so far.
func keyMoment(key string, kind partition.KeyType) (finite, moment string) {
	last := partition.At(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	first := partition.At(time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC))
	switch kind {
	case partition.KeyUUID:
		// The first 48 bits, read as a number, are milliseconds.
		return "true", "to_timestamp(('x' || translate(left(" + key + "::text, 13), '-', ''))::bit(48)::bigint / 1000.0)"
	case partition.KeySeconds, partition.KeyMilliseconds, partition.KeyMicroseconds:
		unit := map[partition.KeyType]string{partition.KeySeconds: "1", partition.KeyMilliseconds: "1000", partition.KeyMicroseconds: "1000000"}[kind]
		finite = fmt.Sprintf("%s BETWEEN %s AND %s", key, kind.Encode(first), kind.Encode(last))
		return finite, fmt.Sprintf("(CASE WHEN %s THEN to_timestamp(%s / %s.0) END)", finite, key, unit)
	}
	return "isfinite(" + key + ")", key
}

// keyOrdered returns an expression that has a least and a greatest value, in the
// key's own order: before PostgreSQL 18 there is no min(uuid).
func keyOrdered(key string, kind partition.KeyType) string {
	if kind == partition.KeyUUID {
		return quoteIdent(key) + "::text"
	}
	return quoteIdent(key)
}
