package parquetfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// KeyRange is the least and the greatest key of some rows, as PostgreSQL prints
// them under the settings of [Configure]: times with a zone in UTC.
type KeyRange struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

// keyed tells whether the values of the column have an order that is that of
// integers, so that the writer can find the least and the greatest.
func (c Column) keyed() bool {
	if c.AsText {
		return false
	}
	switch c.Base {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
		return true
	}
	return false
}

// span is a range of keys as integers, as they are in Parquet.
type span struct {
	least, greatest int64
	some            bool
}

func (s *span) add(key int64) {
	if !s.some {
		*s = span{key, key, true}
	}
	s.least, s.greatest = min(s.least, key), max(s.greatest, key)
}

func (s *span) join(o span) {
	if o.some {
		s.add(o.least)
		s.add(o.greatest)
	}
}

// text returns the range for people, or nil if there is none.
func (s span) text(c Column) *KeyRange {
	if !s.some {
		return nil
	}
	return &KeyRange{Min: c.keyText(s.least), Max: c.keyText(s.greatest)}
}

func (c Column) keyText(v int64) string {
	switch c.Base {
	case pgtype.DateOID:
		return timeText(time.Unix(v*secondsPerDay, 0), "")
	case pgtype.TimestampOID:
		return timeText(time.UnixMicro(v), clockFormat)
	case pgtype.TimestamptzOID:
		return timeText(time.UnixMicro(v), clockFormat+"+00")
	}
	return strconv.FormatInt(v, 10)
}

// clockFormat prints no zeros at the end of a second's fraction, as PostgreSQL.
const clockFormat = " 15:04:05.999999"

// timeText prints in DateStyle ISO. The year before 1 is 1 BC, and years have
// more than four digits if they need them.
func timeText(t time.Time, clock string) string {
	t = t.UTC()
	year, era := t.Year(), ""
	if year < 1 {
		year, era = 1-year, " BC"
	}
	// The time package cannot print such years itself.
	return strings.Join([]string{fmt.Sprintf("%04d-%02d-%02d", year, t.Month(), t.Day()), t.Format(clock), era}, "")
}

// PostgreSQL counts days and microseconds from 2000-01-01, Parquet from 1970-01-01.
const (
	secondsPerDay = 24 * 60 * 60
	epochDays     = 10957
	epochMicros   = epochDays * secondsPerDay * 1_000_000
)

// parquetDate and parquetMicros turn a date or timestamp of PostgreSQL into
// Parquet's. Its extremes stand for the infinities; and the last decades of
// PostgreSQL's time, from 294247 on, are beyond what 64 bits hold when they are
// counted from 1970. The very last microsecond of these is DuckDB's infinity.
func parquetDate(v int32) (int32, bool) {
	if v == math.MinInt32 || v > math.MaxInt32-epochDays {
		return 0, false
	}
	return v + epochDays, true
}

func parquetMicros(v int64) (int64, bool) {
	if v == math.MinInt64 || v >= math.MaxInt64-epochMicros {
		return 0, false
	}
	return v + epochMicros, true
}
