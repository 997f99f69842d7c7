package partition

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// KeyType is the family that the key column's type belongs to, and how its values
// stand for time.
type KeyType string

// The key types that can be served; those after the first three in declarative
// sets alone. An epoch counts from 1970 in UTC. A UUID of version 7 begins with the
// milliseconds since then (RFC 9562, 5.7 UUID Version 7).
const (
	KeyDate         KeyType = "date"
	KeyTimestamp    KeyType = "timestamp without time zone"
	KeyTimestampTZ  KeyType = "timestamp with time zone"
	KeySeconds      KeyType = "bigint of seconds"
	KeyMilliseconds KeyType = "bigint of milliseconds"
	KeyMicroseconds KeyType = "bigint of microseconds"
	KeyUUID         KeyType = "uuid"
)

// KeyUnit is what a bigint key counts.
type KeyUnit string

// The units of bigint keys. The zero value is none: a bigint may be anything.
const (
	UnitSeconds      KeyUnit = "s"
	UnitMilliseconds KeyUnit = "ms"
	UnitMicroseconds KeyUnit = "us"
)

// KeyType returns the type of a bigint key of the unit, empty for none.
func (u KeyUnit) KeyType() KeyType {
	return map[KeyUnit]KeyType{UnitSeconds: KeySeconds, UnitMilliseconds: KeyMilliseconds, UnitMicroseconds: KeyMicroseconds}[u]
}

// SQL returns the name of the column's type.
func (k KeyType) SQL() string {
	if k.perSecond() > 0 {
		return "bigint"
	}
	return string(k)
}

// Coded tells whether the values are no times in SQL, but stand for them.
func (k KeyType) Coded() bool { return k == KeyUUID || k.perSecond() > 0 }

// Instant tells whether the values are instants, and no readings of a wall clock.
func (k KeyType) Instant() bool { return k == KeyTimestampTZ || k.Coded() }

// perSecond is how many units of an epoch a second has, 0 for other types.
func (k KeyType) perSecond() int64 {
	switch k {
	case KeySeconds:
		return 1
	case KeyMilliseconds:
		return 1e3
	case KeyMicroseconds:
		return 1e6
	}
	return 0
}

// The ends of PostgreSQL's calendar, about: what lies beyond is no date that
// anybody means.
var (
	calendarBegins = time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)
	calendarEnds   = time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC)
)

// maxUUIDMillis is the greatest time of a UUID of version 7, in the year 10889.
const maxUUIDMillis = 1<<48 - 1

// Encode returns the least value, as text, that stands for a time at or after the
// edge's: for a UUID with all bits but those of the time 0, so that it comes before
// each of version 7. The type is a coded one. An infinite edge has the least or the
// greatest value.
func (k KeyType) Encode(e Edge) string {
	if k == KeyUUID {
		ms := int64(0)
		switch {
		case e.Inf > 0:
			return "ffffffff-ffff-ffff-ffff-ffffffffffff"
		case e.Inf == 0:
			ms = min(max(ceilDiv(e.Time.UnixMicro(), 1000), 0), maxUUIDMillis)
		}
		h := fmt.Sprintf("%012x", ms)
		return h[:8] + "-" + h[8:] + "-0000-0000-000000000000"
	}
	switch {
	case e.Inf < 0:
		return strconv.FormatInt(-1<<63, 10)
	case e.Inf > 0:
		return strconv.FormatInt(1<<63-1, 10)
	}
	// A year beyond 2262 has no nanoseconds in an int64, but microseconds.
	return strconv.FormatInt(ceilDiv(e.Time.UnixMicro(), 1e6/k.perSecond()), 10)
}

// Decode returns the time that a value of a coded type stands for, in UTC, as
// PostgreSQL prints the value. What lies beyond PostgreSQL's calendar is infinite.
// Of a UUID only the milliseconds count.
func (k KeyType) Decode(text string) (Edge, error) {
	if k == KeyUUID {
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(b) != 16 {
			return Edge{}, fmt.Errorf("%q is no UUID", text)
		}
		return At(time.UnixMilli(new(big.Int).SetBytes(b[:6]).Int64()).UTC()), nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return Edge{}, fmt.Errorf("%q is no bigint: %w", text, err)
	}
	n := k.perSecond()
	switch {
	case v/n < calendarBegins.Unix():
		return MinusInfinity, nil
	case v/n >= calendarEnds.Unix():
		return PlusInfinity, nil
	}
	seconds := floorDiv64(v, n)
	return At(time.Unix(seconds, (v-seconds*n)*(1e9/n)).UTC()), nil
}

func floorDiv64(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return -floorDiv64(-a, b) }
