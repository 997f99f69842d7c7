package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// router is one way to get rows into the months' tables, in a database of its own.
type router struct {
	name  string
	build func(ctx context.Context, s *seeded) error
	// straight says that rows of the present month go into its table, and others
	// cannot be written.
	straight bool

	*seeded
	// absent says why it cannot be measured, if that is so.
	absent string
}

// errAbsent says that something to compare with is not on this machine.
var errAbsent = errors.New("not installed")

// Each way has tables for so many months before and after the present one.
const pastMonths, aheadMonths = 35, 2

func seedMonths(ctx context.Context, s *seeded) error { return s.months(ctx, -pastMonths, aheadMonths) }

// The names of the ways that others are compared with, and of ours.
const seedWay, partmanWay, ourWay, declarativeWay, convertedWay = "seed", "pg_partman 4", "partitiond", "declarative parent", "partitiond, converted"

// routers are the ways, in the order of the report's columns.
func routers() []*router {
	return []*router{
		{name: seedWay, build: seedMonths},
		{name: partmanWay, build: buildPartman},
		{name: "branches by hand", build: buildByHand},
		{name: ourWay, build: func(ctx context.Context, s *seeded) error {
			if err := seedMonths(ctx, s); err != nil {
				return err
			}
			_, err := s.pass(ctx, "")
			return err
		}},
		{name: declarativeWay, build: buildDeclarative},
		{name: convertedWay, build: buildConverted},
		{name: "straight into the child", straight: true, build: seedMonths},
	}
}

// buildPartman makes the months by pg_partman, with its defaults.
func buildPartman(ctx context.Context, s *seeded) error {
	var found bool
	if err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_partman' AND version ~ '^4\\.')").Scan(&found); err != nil {
		return err
	}
	if !found {
		return errAbsent
	}
	return runSQL(ctx, s.conn, fmt.Sprintf(`SET client_min_messages = warning;
		DROP TRIGGER %[1]s ON %[2]s; DROP FUNCTION %[3]s();
		ALTER TABLE %[2]s ALTER created_at SET NOT NULL;
		CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
		SELECT partman.create_parent('public.' || %[4]s, 'created_at', 'partman', 'monthly', p_start_partition := '%[5]s', p_jobmon := false)`,
		s.trigger, s.parent, s.function, "'"+s.local+"'", s.at(-pastMonths).Format("2006-01-02")))
}

// buildByHand replaces the seed's function by branches that do nothing but insert.
func buildByHand(ctx context.Context, s *seeded) error {
	if err := seedMonths(ctx, s); err != nil {
		return err
	}
	order := []int{0, 1, -1}
	for m := aheadMonths; m >= -pastMonths; m-- {
		if !slices.Contains(order, m) {
			order = append(order, m)
		}
	}
	var branches strings.Builder
	for i, m := range order {
		fmt.Fprintf(&branches, "%s NEW.created_at >= %s AND NEW.created_at < %s THEN INSERT INTO %s VALUES (NEW.*);\n",
			[]string{"IF", "ELSIF"}[min(i, 1)], s.literal(m), s.literal(m+1), s.child(m))
	}
	return runSQL(ctx, s.conn, fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s END IF; RETURN NULL; END $$",
		s.function, branches.String()))
}

// buildDeclarative puts a declarative parent in the place of the seed's.
func buildDeclarative(ctx context.Context, s *seeded) error {
	statements := fmt.Sprintf("ALTER TABLE %[1]s RENAME TO replaced; CREATE TABLE %[1]s (LIKE replaced INCLUDING DEFAULTS) PARTITION BY RANGE (created_at);", s.parent)
	for m := -pastMonths; m <= aheadMonths; m++ {
		statements += fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s);", s.child(m), s.parent,
			strings.TrimPrefix(s.literal(m), "timestamp "), strings.TrimPrefix(s.literal(m+1), "timestamp "))
	}
	return runSQL(ctx, s.conn, statements)
}

// buildConverted makes the seed's set a declarative one, and then a pass over it.
func buildConverted(ctx context.Context, s *seeded) error {
	if err := seedMonths(ctx, s); err != nil {
		return err
	}
	if err := s.convert(ctx); err != nil {
		return err
	}
	_, err := s.pass(ctx, "")
	return err
}

// into is the table to write to.
func (r *router) into() string {
	if r.straight {
		return r.child(0)
	}
	return r.parent
}

// setUp makes the router's database, with the rows to write in the tables month
// and years.
func (r *router) setUp(ctx context.Context, e *env, database string, rows int) (err error) {
	if r.seeded, err = e.seed(ctx, database); err != nil {
		return err
	}
	if err := r.dropIndexes(ctx); err != nil {
		return err
	}
	if err := r.build(ctx, r.seeded); errors.Is(err, errAbsent) {
		r.absent = err.Error()
		return nil
	} else if err != nil {
		return fmt.Errorf("building %q: %w", r.name, err)
	}
	source := `CREATE TABLE %[1]s AS SELECT 'p' || i %% 8 AS program_id, 'u' || i %% 1000 AS user_id, repeat('hello ', 8) AS dialogue,
		%[2]s AS created_at FROM generate_series(1, %[3]d) AS i; VACUUM ANALYZE %[1]s;`
	for _, statement := range []string{
		fmt.Sprintf(source, "month", fmt.Sprintf("%s + i %% 27 * interval '1 day'", r.literal(0)), rows),
		fmt.Sprintf(source, "years", fmt.Sprintf("%s + i * 7919 %% 1095 * interval '1 day'", r.literal(-pastMonths)), rows),
	} {
		for part := range strings.SplitSeq(statement, ";") { // VACUUM does not run in a transaction with others.
			if err := runSQL(ctx, r.conn, part); err != nil {
				return err
			}
		}
	}
	return nil
}
