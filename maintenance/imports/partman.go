package imports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// ErrNoPartman says that the database has no pg_partman.
var ErrNoPartman = errors.New("the extension pg_partman is not in this database")

// partmanRow is one row of part_config, with what the catalog says of its table.
type partmanRow struct {
	Schema, Parent       string
	Found, Declarative   bool
	Control, KeyType     string
	Epoch, Type          string
	Interval             string
	Premake              int
	DatetimeString       string
	Retention            string
	RetentionSchema      string
	KeepTable            bool
	Template, Automatic  string
	SubPartitioned       bool
	Trigger              bool
	TimeZone             string
	interval, keep       span
	intervalIs, keepsFor bool
}

// span is an interval as PostgreSQL keeps it.
type span struct {
	Months, Days int
	Seconds      float64
}

// Partman reads the sets of pg_partman in a database.
func Partman(ctx context.Context, conn *pgx.Conn) ([]Set, error) {
	var schema string
	err := conn.QueryRow(ctx, "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_partman'").Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoPartman
	} else if err != nil {
		return nil, fmt.Errorf("look for pg_partman: %w", err)
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(sql.Text("partman.sql"), schema))
	if err != nil {
		return nil, fmt.Errorf("read part_config: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r partmanRow, err error) {
		err = row.Scan(&r.Schema, &r.Parent, &r.Found, &r.Declarative, &r.Control, &r.KeyType, &r.Epoch, &r.Type, &r.Interval, &r.Premake, &r.DatetimeString,
			&r.Retention, &r.RetentionSchema, &r.KeepTable, &r.Template, &r.Automatic, &r.SubPartitioned, &r.Trigger, &r.TimeZone)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read part_config: %w", err)
	}
	sets := make([]Set, len(found))
	for i, r := range found {
		// Texts of numbers are no intervals, and the server says so.
		if r.interval, r.intervalIs, err = spanOf(ctx, conn, r.Interval); err != nil {
			return nil, err
		}
		if r.keep, r.keepsFor, err = spanOf(ctx, conn, r.Retention); err != nil {
			return nil, err
		}
		sets[i] = r.set()
	}
	return sets, nil
}

// spanOf has the server read an interval; a number alone is none.
func spanOf(ctx context.Context, conn *pgx.Conn, text string) (s span, is bool, err error) {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil || text == "" {
		return s, false, nil
	}
	err = conn.QueryRow(ctx, `SELECT (extract(year FROM i) * 12 + extract(month FROM i))::int, extract(day FROM i)::int,
		(extract(hour FROM i) * 3600 + extract(minute FROM i) * 60 + extract(second FROM i))::float8 FROM (SELECT $1::text::interval AS i) AS one`, text).Scan(&s.Months, &s.Days, &s.Seconds)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "22") {
		return s, false, nil
	} else if err != nil {
		return s, false, fmt.Errorf("read the interval %q: %w", text, err)
	}
	return s, true, nil
}

// text is the span in one unit of the configuration, empty where there is none.
func (s span) text() string {
	unit := partition.Hour
	n := 0
	switch {
	case s.Months > 0 && s.Days == 0 && s.Seconds == 0 && s.Months%12 == 0:
		n, unit = s.Months/12, partition.Year
	case s.Months > 0 && s.Days == 0 && s.Seconds == 0:
		n, unit = s.Months, partition.Month
	case s.Months == 0 && s.Days > 0 && s.Seconds == 0:
		n, unit = s.Days, partition.Day
	case s.Months == 0 && s.Days == 0 && s.Seconds > 0 && s.Seconds == float64(int(s.Seconds/3600)*3600):
		n = int(s.Seconds / 3600)
	default:
		return ""
	}
	return partition.Interval{N: n, Unit: unit}.String()
}

// keyTypes are those that pg_partman and the daemon both serve as times.
var keyTypes = []string{string(partition.KeyDate), string(partition.KeyTimestamp), string(partition.KeyTimestampTZ)}

func (r partmanRow) set() Set {
	s := Set{Parent: partition.Name{Schema: r.Schema, Local: r.Parent}, Key: r.Control, Ahead: r.Premake}
	refuse := func(format string, args ...any) Set {
		s.Refused = oneLine(fmt.Sprintf(format, args...))
		return s
	}
	switch {
	case !r.Found:
		return refuse("there is no such table")
	case r.SubPartitioned:
		return refuse("its partitions are partitioned themselves")
	case r.Epoch != "none" || !slices.Contains(keyTypes, r.KeyType):
		return refuse("its key %s is of type %s, with the epoch %q: date, timestamp and timestamptz can be imported", r.Control, r.KeyType, r.Epoch)
	case !r.intervalIs || r.interval.text() == "":
		return refuse("its interval is %q: expected whole hours, days, months or years", r.Interval)
	}
	s.Interval = r.interval.text()
	weekly := strings.Contains(r.DatetimeString, "IW")
	switch {
	case weekly && s.Interval == "7 days":
		s.Interval = "1 week"
	case strings.Contains(r.DatetimeString, "Q") && s.Interval == "3 months":
		s.Interval = "1 quarter"
	}
	iv, err := partition.ParseInterval(s.Interval)
	if err == nil {
		err = iv.AsPeriod()
	}
	if err != nil {
		return refuse("its interval is %q: %v", r.Interval, err)
	}
	suffix, ok := strftime(r.DatetimeString)
	name := pattern(r.Parent) + "_p" + suffix
	if _, err := partition.ParsePattern(name, iv); ok && err == nil {
		s.Name = name
	} else {
		s.Notes = append(s.Notes, fmt.Sprintf("New partitions of %s are named by the parent's name: pg_partman's %q cannot be said here.", r.Parent, r.DatetimeString))
	}
	if iv.Unit == partition.Day && iv.N > 1 {
		s.Notes = append(s.Notes, fmt.Sprintf("Periods of %s are counted from 1970-01-01: the first new partition of %s may be shorter than the others.", s.Interval, r.Parent))
	}
	// Where the boundaries are instants they are midnights of the session's time zone.
	if r.KeyType == string(partition.KeyTimestampTZ) && r.TimeZone != "UTC" && r.TimeZone != "Etc/UTC" {
		s.TimeZone = r.TimeZone
	}
	if r.Declarative {
		s.Notes = append(s.Notes, fmt.Sprintf("Take %s out of pg_partman's hands first: UPDATE part_config SET automatic_maintenance = 'off', or delete its row.", r.Parent))
		if r.Template != "" {
			s.Notes = append(s.Notes, fmt.Sprintf("What new partitions of %s shall have must be on the parent: the template table %s is not looked at.", r.Parent, r.Template))
		}
	} else {
		s.Notes = append(s.Notes, fmt.Sprintf("Take %s out of pg_partman's hands first, or both will write its trigger function: delete its row from part_config.", r.Parent))
		s.Trigger, s.Function = r.Parent+"_part_trig", r.Parent+"_part_trig_func"
		if !r.Trigger {
			s.Notes = append(s.Notes, fmt.Sprintf("The trigger %s is not there; the first pass makes it.", s.Trigger))
		}
	}
	r.retention(&s)
	return s
}

// retention says what pg_partman does with old partitions.
func (r partmanRow) retention(s *Set) {
	if r.Retention == "" {
		return
	}
	if !r.keepsFor || r.keep.text() == "" {
		s.Notes = append(s.Notes, fmt.Sprintf("The retention of %s is %q, which cannot be said here: all is kept.", r.Parent, r.Retention))
		return
	}
	s.Keep, s.Then = r.keep.text(), "drop"
	if r.KeepTable || r.RetentionSchema != "" {
		s.Then, s.Schema = "detach", r.RetentionSchema
	}
}

// conversions are what pg_partman uses of to_char, the longest first.
var conversions = []struct{ toChar, strftime string }{
	{"HH24", "%H"}, {"IYYY", "%G"}, {"YYYY", "%Y"}, {"MM", "%m"}, {"DD", "%d"}, {"IW", "%V"}, {"MI", "00"}, {"SS", "00"}, {"Q", "%q"}, {"_", "_"},
}

// strftime turns a template of to_char into a name pattern. Minutes and seconds are
// zero, where periods are hours.
func strftime(template string) (string, bool) {
	var b strings.Builder
rest:
	for template != "" {
		if literal, ok := strings.CutPrefix(template, `"`); ok {
			text, after, closed := strings.Cut(literal, `"`)
			if !closed {
				return "", false
			}
			b.WriteString(pattern(text))
			template = after
			continue
		}
		for _, c := range conversions {
			if after, ok := strings.CutPrefix(template, c.toChar); ok {
				b.WriteString(c.strftime)
				template = after
				continue rest
			}
		}
		return "", false
	}
	return b.String(), b.Len() > 0
}
