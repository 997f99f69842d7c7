package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/postgres"
	"github.com/partitiond/partitiond/sql"
)

// build makes the database as production has it.
func (d *demo) build(ctx context.Context) error {
	admin, err := pgx.Connect(ctx, d.urlOf("postgres", "postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE chat TEMPLATE template0")
	if closing := closeDemo(ctx, admin); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	cc, err := pgx.ParseConfig(d.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	cc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { d.notice(n.Message) }
	if d.conn, err = pgx.ConnectConfig(ctx, cc); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := d.load(ctx); err != nil {
		return errors.Join(err, closeDemo(ctx, d.conn))
	}
	return nil
}

// load installs the schema and puts the chat in, through the old trigger.
func (d *demo) load(ctx context.Context) error {
	d.show.heading("18 months of chat, through the trigger that production has today")
	if err := d.exec(ctx, sql.Text("demo_roles.sql")+"SET ROLE chat_owner;"+sql.Text("seed.sql")+"RESET ROLE;"); err != nil {
		return fmt.Errorf("install the schema: %w", err)
	}
	if err := d.exec(ctx, postgres.TablesSQL("partitiond")); err != nil {
		return fmt.Errorf("make the daemon's tables: %w", err)
	}
	if err := d.conn.QueryRow(ctx, "SELECT now()").Scan(&d.now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	d.now = d.now.UTC()
	began := time.Now()
	d.loading = true
	err := d.exec(ctx, "SET ROLE chat_owner; SET demo.rows = "+strconv.Itoa(d.rows)+";"+sql.Text("demo_load.sql")+"RESET ROLE;")
	d.loading = false
	if err != nil {
		return fmt.Errorf("load the messages: %w", err)
	}
	d.show.line("")
	d.show.line("  created by the trigger, each with its month's first row; loaded in %.1f s", time.Since(began).Seconds())
	return d.vacuum(ctx)
}

// exec runs several statements, which the simple protocol makes one transaction
// (PostgreSQL documentation, 55.2.2.1 Multiple Statements in a Simple Query).
func (d *demo) exec(ctx context.Context, statements string) error {
	_, err := d.conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

// notice shows that the trigger has made a table, at the moment in which it does.
func (d *demo) notice(message string) {
	name, ok := strings.CutPrefix(message, "A partition has been created ")
	if !ok || !d.loading {
		return
	}
	if d.made++; d.made > 1 && d.made%6 == 1 {
		d.show.line("")
	}
	d.show.print("  %s", name)
}

// vacuum does to the partitions what autovacuum does in production. Like that,
// it gathers no statistics over all of them together.
func (d *demo) vacuum(ctx context.Context) error {
	rows, err := d.conn.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'public.chat_master'::regclass")
	if err != nil {
		return fmt.Errorf("list the partitions: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the partitions: %w", err)
	}
	if _, err := d.conn.Exec(ctx, "VACUUM (ANALYZE) "+strings.Join(tables, ", ")); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// url is how the role comes to the demo's database.
func (d *demo) url(role string) string { return d.urlOf(role, "chat") }

func (d *demo) urlOf(role, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d", role, database,
		strings.ReplaceAll(url.QueryEscape(d.server.SocketDir()), "%2F", "/"), d.server.Port())
}

func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// closeDemo closes a connection, also one whose context has ended.
func closeDemo(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close the connection: %w", err)
	}
	return nil
}
