// Package systemd tells systemd how the program is and what it is doing, by the
// protocol of sd_notify(3). Without systemd it does nothing.
package systemd

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Unit is the unit that the program runs in. Its status says what passes do that
// [Unit.Watch] watches; what they tell is kept until the program's main loop asks
// for it, and no pass waits for systemd.
type Unit struct {
	log     *slog.Logger
	failed  sync.Once
	changed chan struct{}

	mu    sync.Mutex
	state state
}

// NewUnit returns the unit that NOTIFY_SOCKET names. The status shows times in
// the location.
func NewUnit(log *slog.Logger, loc *time.Location) *Unit {
	return &Unit{log: log, changed: make(chan struct{}, 1), state: state{location: loc, databases: map[string]*database{}}}
}

// Ready tells that the program has started, or has read its configuration again.
// The time is when the next pass is due, and its location is the status's from
// now on. The note is what else there is to know, or empty.
func (u *Unit) Ready(next time.Time, note string) {
	u.mu.Lock()
	u.state.next, u.state.location, u.state.note = next, next.Location(), note
	u.mu.Unlock()
	u.send(daemon.SdNotifyReady + "\n" + u.status())
}

// Keep forgets the databases that have none of the names. Passes that still run
// there are no longer told of.
func (u *Unit) Keep(names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.state.databases, func(name string, _ *database) bool { return !slices.Contains(names, name) })
}

// Reloading tells that the configuration is being read; [Unit.Ready] has to follow.
// A unit of Type=notify-reload needs the time of the monotonic clock (systemd 253).
func (u *Unit) Reloading() {
	u.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=reading the configuration")
}

// Stopping tells that the program is about to end.
func (u *Unit) Stopping() {
	u.send(daemon.SdNotifyStopping + "\nSTATUS=stopping: waiting for the current transaction")
}

// Changed is sent to when the status is another one, for [Unit.Show].
func (u *Unit) Changed() <-chan struct{} { return u.changed }

// Show sends the status, with the time of the next pass.
func (u *Unit) Show(next time.Time) {
	u.mu.Lock()
	u.state.next = next
	u.mu.Unlock()
	u.send(u.status())
}

// Follow sends the status whenever it changes, for a program without a main loop,
// until the function that it returns is called.
func (u *Unit) Follow() (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-u.changed:
				u.send(u.status())
			case <-stop:
				u.send(u.status())
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
}

// Watchdog returns a channel that says when to call [Unit.Alive]: three times in
// what the unit allows, or never where it has no WatchdogSec=. The function ends it.
func (u *Unit) Watchdog() (<-chan time.Time, func()) {
	allowed, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		u.log.Warn("the unit's watchdog is not understood", "error", err)
	}
	if err != nil || allowed <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(max(allowed/3, time.Millisecond))
	return t.C, t.Stop
}

// Alive tells that the main loop answers. That says nothing of a pass: it may
// take hours, and is the better for it if nobody kills it then.
func (u *Unit) Alive() { u.send(daemon.SdNotifyWatchdog) }

// While runs a function and tells meanwhile that the program is alive.
func (u *Unit) While(f func()) {
	ticks, end := u.Watchdog()
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-ticks:
			u.Alive()
		case <-done:
			return
		}
	}
}

func (u *Unit) status() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return "STATUS=" + u.state.String()
}

func (u *Unit) send(text string) {
	if _, err := daemon.SdNotify(false, text); err != nil {
		u.failed.Do(func() { u.log.Warn("systemd could not be told, as will be so from now on", "error", err) })
	}
}

// change changes the state and wakes the main loop, which need not listen yet.
func (u *Unit) change(f func(s *state)) {
	u.mu.Lock()
	f(&u.state)
	u.mu.Unlock()
	select {
	case u.changed <- struct{}{}:
	default:
	}
}
