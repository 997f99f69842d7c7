package maintenance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// hostile are names that would do something if any of them got into SQL, a path, a
// format or a pattern unquoted.
var hostile = []string{
	`"; DROP TABLE canary; --`,
	`'; DROP TABLE canary; --`,
	`$$; DROP TABLE canary; $$`,
	`$partitiond$; DROP TABLE canary; $`,
	`\'; DROP TABLE canary; \`,
	"new\nline; DROP TABLE canary;\r\n--",
	"%s%I%L%1$s %n %% {{.Key}} {{statement}}",
	`/* -- */ */ ../../etc/passwd`,
	`*?[a-z]{x} .* \d \\. \N`,
	`ünïcödé 🐘 "É"`,
	"tab\tALL ON canary TO PUBLIC; DROP TABLE canary; --\a\f",
	`select`,
	`user`,
	`NULL`,
	`tableoid2 "a"."b"`,
	strings.Repeat(`"`, 40),
	strings.Repeat("long_", 12) + "63b", // As many as PostgreSQL keeps.
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// TestHostileNames makes all that a pass and a restore do with names that were made to
// break out, as a role that is no superuser. A canary and a bystander's table tell
// whether one has.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	// All of them are columns in each set; every third set is enough for each to be the
	// parent, its schema or the key, and one of the three roles.
	for i := 1; i < len(hostile); i += 3 {
		format := []archive.Format{archive.CSV, archive.Parquet}[i%2]
		t.Run(fmt.Sprintf("%d, %s", i, format), func(t *testing.T) {
			t.Parallel()
			hostileSet(t, i, hostile[i], format)
		})
	}
}

// hostileSet is one set: its parent has a name, and all else the names around it in
// the list.
func hostileSet(t *testing.T, i int, parent string, format archive.Format) {
	s := newScenario(t)
	other := func(n int) string { return hostile[(i+n)%len(hostile)] }
	// Names of roles are the whole server's, which other tests use.
	unique := s.db.Name[strings.LastIndex(s.db.Name, "_"):]
	short := func(name string, bytes int) string { return strings.ToValidUTF8(name[:min(len(name), bytes)], "") }
	cut := func(name, suffix string) string { return short(name, partition.MaxNameBytes-len(suffix)) + suffix }
	schema, key, detached := other(1), other(2), cut(other(3), " old")
	owner, keeper, writer := cut(other(4), unique+"o"), cut(other(5), unique+"k"), cut(other(6), unique+"w")
	table := ident(schema) + "." + ident(parent)
	var columns strings.Builder
	for n, name := range hostile {
		if name != key {
			fmt.Fprintf(&columns, ", %s text DEFAULT %s CONSTRAINT %s CHECK (%s <> %s)", ident(name), literal(other(n)), ident(cut(name, " c")), ident(name), literal("never "+other(n)))
		}
	}
	s.section("setup.sql", strings.NewReplacer("{table}", table, "{schema}", ident(schema), "{key}", ident(key), "{columns}", columns.String(), "{index}", ident(cut(other(7), " i")),
		"{comment}", literal(other(8)), "{old}", ident(detached), "{owner}", ident(owner), "{keeper}", ident(keeper), "{writer}", ident(writer), "{policy}", ident(other(9))).Replace(`
		CREATE TABLE canary (alive int); INSERT INTO canary VALUES (1);
		CREATE ROLE {owner}; CREATE ROLE {keeper} LOGIN; CREATE ROLE {writer} LOGIN; GRANT {owner} TO {keeper};
		CREATE SCHEMA {schema} AUTHORIZATION {owner}; CREATE SCHEMA {old} AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA {schema}, {old} TO {keeper}, {writer};
		GRANT CREATE ON DATABASE `+s.db.Name+` TO {keeper};
		SET ROLE {owner};
		CREATE TABLE {table} ({key} timestamp NOT NULL{columns});
		CREATE INDEX {index} ON {table} ({key});
		COMMENT ON TABLE {table} IS {comment}; COMMENT ON COLUMN {table}.{key} IS {comment};
		GRANT INSERT, SELECT ON {table} TO {writer};
		ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY {policy} ON {table} TO {writer} USING (true) WITH CHECK (true);
		RESET ROLE`))
	t.Cleanup(func() {
		for _, role := range []string{keeper, writer, owner} {
			if _, err := s.conn.Exec(context.Background(), "DROP OWNED BY "+ident(role)+" CASCADE"); err != nil {
				t.Error(err)
			}
			if _, err := s.conn.Exec(context.Background(), "DROP ROLE "+ident(role)); err != nil {
				t.Error(err)
			}
		}
	})
	as := func(role string) *pgx.ConnConfig {
		c, err := pgx.ParseConfig(s.db.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.User = role
		return c
	}
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, as(keeper)) }
	s.m.Archiving = maintenance.Archiving{Format: format}
	configure := func(retention string) {
		t.Helper()
		// Strings of JSON are strings of TOML.
		text := fmt.Sprintf("[[set]]\nparent = %s\nkey = %s\nname = %s\ntrigger = %s\nfunction = %s\nahead = 0\nretention = { keep = \"12 months\", max_share = 1, %s }\n",
			toml(t, table), toml(t, ident(key)), toml(t, strings.NewReplacer("%", "%%", ".", ",").Replace(short(parent, 40))+"_%Y_%m"),
			toml(t, ident(cut(other(10), " t"))), toml(t, ident(schema)+"."+ident(short(other(11), 40)+" f")), retention)
		c, err := config.Parse("config.toml", []byte(text))
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		s.sets = []partition.Set{c.Databases[0].Sets[0].Set}
	}
	configure(`then = "keep"`)
	s.mustPass(maintenance.Done)

	app, err := pgx.ConnectConfig(t.Context(), as(writer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	if _, err := app.Exec(t.Context(), fmt.Sprintf("INSERT INTO %[1]s (%[2]s) SELECT date_trunc('month', localtimestamp) - interval '14 months' + i * interval '1 day' FROM generate_series(0, 20) i", table, ident(key))); err != nil {
		t.Fatal(err)
	}
	rowsOf := func(of string) string {
		return s.text("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM " + of + " t")
	}
	before := rowsOf(table)
	configure(`then = "archive", archive = "file://` + s.archive + `", late_grace = "0s"`)
	s.mustPass(maintenance.Done)
	if got := s.text("SELECT count(*) FROM " + table); got != "0" {
		t.Fatalf("%s rows are left, want them archived", got)
	}
	if _, err := s.m.Restore(t.Context(), s.request()); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if got := rowsOf(table); got != before || !strings.HasPrefix(got, "21 |") {
		t.Errorf("the rows were %s, and are %s", before, got)
	}
	if _, err := postgres.AddHold(t.Context(), s.conn, s.sets[0].Parent, partition.Hold{Bounds: partition.Everywhere, Kind: partition.HoldManual, Reason: other(12)}); err != nil {
		t.Fatal(err)
	}
	configure(`then = "drop"`)
	s.mustPass(maintenance.Idle)
	holds, err := postgres.Holds(t.Context(), s.conn, s.sets[0].Parent)
	if err != nil || len(holds) != 2 || holds[1].Reason != other(12) {
		t.Fatalf("the holds are %+v, %v", holds, err)
	}
	for _, h := range holds {
		if err := postgres.RemoveHold(t.Context(), s.conn, h.ID); err != nil {
			t.Fatal(err)
		}
	}
	configure(`then = "detach", schema = ` + toml(t, ident(detached)))
	s.mustPass(maintenance.Done)
	child := s.text("SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = " + literal(detached))
	if got := rowsOf(child); got != before {
		t.Errorf("the detached rows are %s, and were %s", got, before)
	}
	// Dropped, at last.
	s.section("back.sql", fmt.Sprintf("SET ROLE %s; ALTER TABLE %s INHERIT %s; RESET ROLE", ident(owner), child, table))
	configure(`then = "drop"`)
	s.mustPass(maintenance.Done)
	if got := s.text("SELECT count(*) FROM " + table + ", canary"); got != "0" || s.text("SELECT alive FROM canary") != "1" {
		t.Errorf("%s rows are left", got)
	}
	s.section("left", "")
}

func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(text) + "'"
}

func toml(t *testing.T, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}
