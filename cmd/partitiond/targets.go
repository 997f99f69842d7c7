package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// target is a database that the flags ask for, wired to its server.
type target struct {
	*maintenance.Maintainer
	// sets are those that the flags ask for, with what the flags change.
	sets []config.Set
	// place says in errors where the sets are: in the file, or in a database of it.
	place string
}

// targets are all that the flags ask for, in the order of the file.
type targets struct {
	config *config.Config
	log    *slog.Logger
	all    []target
}

// load reads the configuration. All its errors are of the user's making.
func (o *options) load() (*config.Config, error) {
	c, err := config.LoadWith(o.config, o.more)
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	return c, nil
}

// ready reads the configuration and wires what the flags ask for; the log goes to w.
func (o *options) ready(w *console) (*targets, error) {
	c, err := o.load()
	if err != nil {
		return nil, err
	}
	if o.maxShare < 0 || o.maxShare > 1 {
		return nil, exitError{exitUsage, fmt.Errorf("--max-share %g: expected a share from 0 to 1", o.maxShare)}
	}
	if o.maxShare > 0 && !o.runNow {
		return nil, exitError{exitUsage, errors.New("--max-share is for one pass: expected --run-now with it")}
	}
	for _, name := range o.databases {
		if _, err := c.Database(name); err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("--database: %w", err)}
		}
	}
	t := &targets{config: c, log: newLogger(c.Log, w)}
	var unknown error
	for i := range c.Databases {
		d := &c.Databases[i]
		if o.databases != nil && !slices.Contains(o.databases, d.Name) {
			continue
		}
		sets, err := o.sets(d)
		if errors.Is(err, config.ErrNoSet) {
			unknown = errors.Join(unknown, err) // Another one may have it.
			continue
		} else if err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("--set: %w", err)}
		}
		place := c.Path
		if d.Name != "" {
			place = fmt.Sprintf("database %q in %s", d.Name, c.Path)
		}
		t.all = append(t.all, target{newMaintainer(c, d, t.log), sets, place})
	}
	if t.all == nil {
		return nil, exitError{exitUsage, fmt.Errorf("--set: %w", unknown)}
	}
	return t, nil
}

// sets returns the sets of a database that the flags ask for, with what the flags
// change.
func (o *options) sets(d *config.Database) ([]config.Set, error) {
	chosen := slices.Clone(d.Sets)
	if o.set != "" {
		s, err := d.Find(o.set)
		if err != nil {
			return nil, err
		}
		chosen = []config.Set{*s}
	}
	if o.maxShare > 0 {
		for i := range chosen {
			chosen[i].Retention.MaxShare = o.maxShare
		}
	}
	return chosen, nil
}

// several tells whether databases have names, so that each is called by its own.
func (t *targets) several() bool { return t.config.Fleet() }

// names are those of the databases.
func (t *targets) names() []string {
	names := make([]string, len(t.all))
	for i, d := range t.all {
		names[i] = d.Database
	}
	return names
}

// count is how many sets there are in all databases.
func (t *targets) count() (n int) {
	for _, d := range t.all {
		n += len(d.sets)
	}
	return n
}

// fleet is all of them, to be worked on.
func (t *targets) fleet() maintenance.Fleet {
	f := maintenance.Fleet{Parallel: t.config.Schedule.Databases}
	for _, d := range t.all {
		f.Members = append(f.Members, maintenance.Member{Maintainer: d.Maintainer, Sets: plain(d.sets)})
	}
	return f
}

// source is all of them, to be looked at.
func (t *targets) source() monitor.Source {
	s := monitor.Source{Parallel: t.config.Schedule.Databases}
	for _, d := range t.all {
		of := monitor.Database{Maintainer: d.Maintainer}
		for _, set := range d.sets {
			of.Sets = append(of.Sets, monitor.Set{Set: set.Set, Schedule: set.Cron})
		}
		s.Databases = append(s.Databases, of)
	}
	return s
}

// plain leaves the schedules out.
func plain(sets []config.Set) []partition.Set {
	out := make([]partition.Set, len(sets))
	for i, s := range sets {
		out[i] = s.Set
	}
	return out
}

// one returns the only database that is asked for, for what is done in one.
func (t *targets) one() (target, error) {
	if len(t.all) > 1 {
		return target{}, exitError{exitUsage, fmt.Errorf("%s has several databases: expected --database to name one of %s", t.config.Path, quotedNames(t.names()))}
	}
	return t.all[0], nil
}

// oneSet returns the only set that is asked for, with its database.
func (t *targets) oneSet() (target, partition.Set, error) {
	d, err := t.one()
	if err != nil {
		return d, partition.Set{}, err
	}
	if len(d.sets) != 1 {
		return d, partition.Set{}, exitError{exitUsage, fmt.Errorf("%s has %d sets: expected --set to name one", d.place, len(d.sets))}
	}
	return d, d.sets[0].Set, nil
}

func quotedNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	return strings.Join(quoted, ", ")
}

// connect opens a connection for what is neither a pass nor a plan.
func (d target) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, exitError{exitConnect, fmt.Errorf("%w: %w", maintenance.ErrConnect, err)}
	}
	return conn, nil
}

// asked is the answer of a verb that has asked each database: what it is where only
// one was asked; otherwise that of a part, unless it could not ask any.
func (t *targets) asked(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	if err := t.fleet().Failure(errs); err != nil {
		first, _ := errors.AsType[exitError](errs[0])
		alike := !slices.ContainsFunc(errs, func(err error) bool {
			e, _ := errors.AsType[exitError](err)
			return e.code != first.code
		})
		if !alike {
			first.code = exitFailed
		}
		return exitError{first.code, err}
	}
	var some error
	for i, err := range errs {
		if err != nil {
			some = errors.Join(some, fmt.Errorf("%s: %w", t.all[i].Database, err))
		}
	}
	if some != nil {
		return exitError{exitPartly, some}
	}
	return nil
}
