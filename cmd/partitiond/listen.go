package main

import (
	"context"
	"slices"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
)

// listeners hear of rows in default partitions, one for each database.
type listeners struct {
	o         *options
	ctx       context.Context
	scheduler *maintenance.Scheduler
	running   map[string]listening
}

type listening struct {
	*maintenance.Listener
	end context.CancelFunc
}

// newListeners returns listeners that end with the context.
func (o *options) newListeners(ctx context.Context, scheduler *maintenance.Scheduler) *listeners {
	return &listeners{o: o, ctx: ctx, scheduler: scheduler, running: map[string]listening{}}
}

// follow listens to these databases from now on, and to no others.
func (l *listeners) follow(t *targets) {
	names := t.names()
	for name, of := range l.running {
		if !slices.Contains(names, name) {
			of.end()
			delete(l.running, name)
		}
	}
	for _, d := range t.all {
		of, ok := l.running[d.Database]
		if !ok {
			ctx, end := context.WithCancel(l.ctx)
			of = listening{maintenance.NewListener(d.Log), end}
			l.running[d.Database] = of
			go of.Run(ctx)
		}
		d.Watchers = append(d.Watchers, of)
		of.Follow(d.Connect, l.wake(d))
	}
}

// wake returns what makes a pass at once over the set whose default partition has got
// rows.
func (l *listeners) wake(d target) maintenance.Wake {
	return func(parent string, done func()) {
		i := slices.IndexFunc(d.sets, func(s config.Set) bool { return s.Parent.String() == parent })
		if i < 0 {
			return // It is somebody else's; there is nothing to be done with.
		}
		pass := l.o.pass(d.Maintainer, plain(d.sets[i:i+1]))
		l.scheduler.Start(d.Database, func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
			defer done()
			return pass(ctx, stop)
		})
	}
}
