package convert_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRelease18 converts a set, there and back, with what PostgreSQL 18 brought: NOT NULL
// that has a name, a CHECK that is not enforced, and a virtual generated column. None of
// them makes ATTACH look at the rows.
func TestRelease18(t *testing.T) {
	t.Parallel()
	pgtest.New(t).Since(t, 18, "CHECK that is not enforced")
	f := newFixture(t, `ALTER TABLE chat_master ALTER created_at DROP NOT NULL, ADD CONSTRAINT said NOT NULL dialogue, ADD CONSTRAINT dated NOT NULL created_at,
		ADD CONSTRAINT wished CHECK (id < 0) NOT ENFORCED, ADD twice bigint GENERATED ALWAYS AS (id::bigint * 2) VIRTUAL`)
	before, rows := f.schema(), f.digest()
	f.mustForward()
	f.same("rows", rows, f.digest())
	if n := strings.Count(strings.Join(f.notices, "\n"), "is implied by existing constraints"); n != 8 {
		t.Errorf("%d of 8 partitions were attached without a look at their rows", n)
	}
	f.want("SELECT conname, conenforced, convalidated FROM pg_constraint WHERE conrelid = 'chat_master'::regclass ORDER BY 1",
		"chat_master_id_not_null | true | true\ndated | true | true\nsaid | true | true\nwished | false | false")
	f.pass()
	f.mustBack()
	f.pass()
	f.same("rows", rows, f.digest())
	f.same("the schema", before, f.schema())
}

// TestRelease18Stops has what PostgreSQL 18 brought and a partitioned table cannot have.
func TestRelease18Stops(t *testing.T) {
	t.Parallel()
	pgtest.New(t).Since(t, 18, "NOT NULL that children do not inherit")
	f := newFixture(t, "ALTER TABLE chat_master ALTER created_at DROP NOT NULL, ADD r int4range, ADD during tsrange")
	month := f.query("SELECT 'chat_' || to_char(localtimestamp, 'YYYY_MM')")
	for _, c := range []struct{ kind, table, do string }{
		{"NOT NULL that is not inherited", "chat_master", "NOT NULL user_id NO INHERIT"},
		{"NOT NULL that is not inherited", month, "NOT NULL created_at NO INHERIT"},
		{"NOT NULL that is not validated", "chat_master", "NOT NULL user_id NOT VALID"},
		{"NOT NULL that is not validated", month, "NOT NULL created_at NOT VALID"},
		{"exclusion constraint", "chat_master", "UNIQUE (r, during WITHOUT OVERLAPS)"},
	} {
		f.exec("ALTER TABLE " + c.table + " ADD CONSTRAINT k " + c.do)
		before := f.schema()
		r, err := f.forward(convert.Options{Bound: options.Bound, WidenKeys: true})
		if !errors.Is(err, convert.ErrStops) || r.Swapped || r.Tasks > 0 ||
			!slices.ContainsFunc(r.Plan.Stops, func(s convert.Stop) bool { return s.Kind == c.kind && s.What == "k of public."+c.table && s.Hint != "" }) {
			t.Errorf("%s of %s: %v, in the way: %q", c.do, c.table, err, r.Plan.Stops)
		}
		f.same("the schema", before, f.schema())
		f.exec("ALTER TABLE " + c.table + " DROP CONSTRAINT k")
	}
	// A partition's own affair is in nobody's way.
	f.exec("ALTER TABLE " + month + " ADD CONSTRAINT k NOT NULL user_id NO INHERIT")
	f.mustForward()
	f.want("SELECT count(*) FROM pg_constraint WHERE conname = 'k' AND conrelid = '"+month+"'::regclass", "1")
	f.pass()
}

// TestRelease18Whole makes an ordinary table a partition with the same, and with a
// foreign key that is not enforced.
func TestRelease18Whole(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.db.Since(t, 18, "foreign key that is not enforced")
	f.conn = f.db.Conn(t)
	f.configure(eventsSet)
	f.exec(`CREATE TABLE kinds (kind int PRIMARY KEY);
		CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT numbered NOT NULL, at timestamptz CONSTRAINT dated NOT NULL, n int,
			kind int CONSTRAINT loose REFERENCES kinds NOT ENFORCED, twice int GENERATED ALWAYS AS (n * 2), CONSTRAINT wished CHECK (n < 0) NOT ENFORCED);
		INSERT INTO events (at, n, kind) SELECT now() - make_interval(days => i), i, 7 FROM generate_series(0, 99) i`)
	rows := "SELECT count(*), sum(hashtextextended(e::text, 0)::numeric) FROM events e"
	before := f.query(rows)
	r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Whole(ctx, conn, f.set, time.Time{}, options)
	}, f.m.Log)
	if err != nil || !r.Swapped {
		t.Fatalf("%v, in the way: %q", err, r.Plan.Stops)
	}
	f.same("rows", before, f.query(rows))
	f.want("SELECT conrelid::regclass::text, string_agg(conname, ' ' ORDER BY conname), count(*) FILTER (WHERE conenforced) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'events%' GROUP BY 1 ORDER BY 1",
		"events | dated loose numbered wished | 2\nevents_default | dated loose numbered wished | 2\nevents_first | dated loose numbered partition_bounds wished | 3")
	f.pass()
}
