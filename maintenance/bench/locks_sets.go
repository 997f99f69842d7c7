package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// The templates are databases with one set each; every measurement has a copy.
const (
	setTemplate     = "locks_inheritance"
	partmanTemplate = "locks_partman"
)

var parentOf = map[string]string{setTemplate: "event_master", partmanTemplate: "event"}

// Months from the current one: the first two are due, those from newest on are missing.
const (
	oldestDue, newestDue = -7, -6
	newest               = 0
	ahead                = 3
)

// keep is what retention keeps, in months.
const keep = 5

// month is the first moment of a month, counted from the current one.
func (l *locks) month(n int) time.Time {
	return time.Date(l.now.Year(), l.now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
}

func (l *locks) day(n int) string   { return l.month(n).Format("'2006-01-02'") }
func (l *locks) child(n int) string { return l.month(n).Format("event_2006_01") }

// eventColumns are the columns, the number of rows of a month and its bounds the rest.
const eventColumns = "id bigserial, user_id integer, kind integer, body text, created_at timestamp NOT NULL"

func (l *locks) fill(table string, n int) string {
	rows := l.rest
	if n == newest {
		rows = l.last
	}
	return fmt.Sprintf(`INSERT INTO %s (user_id, kind, body, created_at)
		SELECT i %% 100000, 1 + i %% 100, md5(i::text) || md5(i::text), timestamp %s + i * interval '1 second' * 86400 * 28 / %d FROM generate_series(0, %d) i;
		`, table, l.day(n), rows, rows-1)
}

// prepare makes the set as such sets are found: the trigger looks names up for each
// row, the CHECKs exclude nothing, and an index and a privilege are the parent's alone.
func (l *locks) prepare(ctx context.Context) error {
	var b strings.Builder
	fmt.Fprintf(&b, `CREATE TABLE event_master (%s);
		CREATE INDEX ON event_master (user_id);
		CREATE FUNCTION event_insert_function() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		  EXECUTE format('INSERT INTO %%I (user_id, kind, body, created_at) VALUES ($1, $2, $3, $4)', 'event_' || to_char(NEW.created_at, 'YYYY_MM'))
		    USING NEW.user_id, NEW.kind, NEW.body, NEW.created_at;
		  RETURN NULL;
		END $$;
		CREATE TRIGGER insert_event_trigger BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION event_insert_function();
		`, eventColumns)
	for n := oldestDue; n <= newest; n++ {
		fmt.Fprintf(&b, `CREATE TABLE %[1]s (CHECK (date_trunc('day', created_at) >= %[2]s AND date_trunc('day', created_at) < %[3]s)) INHERITS (event_master);
			`, l.child(n), l.day(n), l.day(n+1))
		b.WriteString(l.fill(l.child(n), n))
		fmt.Fprintf(&b, "CREATE INDEX ON %s (user_id);\n", l.child(n))
	}
	b.WriteString("CREATE INDEX ON event_master (kind, created_at); CREATE ROLE reporting; GRANT SELECT ON event_master TO reporting")
	return l.database(ctx, setTemplate, b.String(), "VACUUM (FREEZE, ANALYZE)")
}

// database makes a database that nobody uses, to be copied.
func (l *locks) database(ctx context.Context, name string, statements ...string) error {
	fmt.Fprintf(l.log, "  making %s\n", name)
	admin := l.server.URL("postgres")
	err := sqls(ctx, admin, "CREATE DATABASE "+name, "ALTER SYSTEM SET log_line_prefix = '%a|%m '", "SELECT pg_reload_conf()")
	if err != nil {
		return err
	}
	if err := sqls(ctx, l.server.URL(name), statements...); err != nil {
		return err
	}
	return sqls(ctx, admin, "CHECKPOINT")
}

// copyOf copies a template, and returns the copy's name and what drops it.
func (l *locks) copyOf(ctx context.Context, template string) (db string, drop func() error, err error) {
	l.serial++
	db = fmt.Sprintf("%s_%d", template, l.serial)
	admin := l.server.URL("postgres")
	// Copying files writes no WAL of its pages; the checkpoint is then over and done with.
	err = sqls(ctx, admin, "CREATE DATABASE "+db+" TEMPLATE "+template+" STRATEGY file_copy", "CHECKPOINT")
	return db, func() error { return sqls(context.WithoutCancel(ctx), admin, "DROP DATABASE "+db+" WITH (FORCE)") }, err
}

// streams are the load: the inserts and the reads.
func (l *locks) streams(template string) []*stream {
	parent := parentOf[template]
	return []*stream{
		{name: "inserts", rate: 300, clients: 4, script: `\set user random(0, 99999)
			INSERT INTO ` + parent + ` (user_id, kind, body, created_at) VALUES (:user, 0, 'a new row', ` + l.day(newest) + `::timestamp + interval '1 day');
			`},
		{name: "reads", rate: 60, clients: 4, script: `\set user random(0, 99999)
			SELECT count(*) FROM ` + parent + ` WHERE user_id = :user AND created_at >= ` + l.day(newest) + `;
			`},
	}
}
