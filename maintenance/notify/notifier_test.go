package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// clocked gives a notifier a clock that only the test moves.
func clocked(n *Notifier) func(time.Duration) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	n.now = func() time.Time { return now }
	return func(d time.Duration) { now = now.Add(d) }
}

// TestFailureIsToldOnce follows two sets through bad and good passes.
func TestFailureIsToldOnce(t *testing.T) {
	t.Parallel()
	in := newInbox(t, nil)
	s := in.subscriber("ops", Failure, Recovery)
	s.Repeat = 24 * time.Hour
	n := newNotifier(t, &logged{}, s)
	pass := clocked(n)
	for _, step := range []struct {
		after  time.Duration
		set    string
		status maintenance.Status
	}{
		{0, "a", maintenance.Idle},              // nothing to tell
		{0, "a", maintenance.Partly},            // failure a
		{time.Hour, "a", maintenance.Failed},    // known
		{0, "b", maintenance.Failed},            // failure b
		{22 * time.Hour, "a", maintenance.Done}, // recovery a
		{0, "a", maintenance.Idle},              // known
		{time.Hour, "b", maintenance.Failed},    // known
		{time.Hour, "b", maintenance.Skipped},   // not known whether
		{time.Hour, "b", maintenance.Stopped},   // not known whether
		{0, "b", maintenance.Partly},            // failure b again
		{23 * time.Hour, "b", maintenance.Partly},
		{time.Hour, "b", maintenance.Partly}, // failure b again
		{0, "a", maintenance.Failed},         // failure a
		{0, "b", maintenance.Idle},           // recovery b
	} {
		pass(step.after)
		setEnded(n, step.set, step.status)
	}
	n.Close(ages)
	want := []string{"failure a", "failure b", "recovery a", "failure b again", "failure b again", "failure a", "recovery b"}
	if diff := cmp.Diff(want, in.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if since := in.events[6].Since; !since.Equal(time.Date(2026, 12, 1, 4, 0, 0, 0, time.UTC)) {
		t.Errorf("b was unwell since %s", since)
	}
	if r := in.events[1].Report; r == nil || r.Set != "b" || r.Status != maintenance.Failed {
		t.Errorf("the report of b is %+v", r)
	}
	if text := in.events[3].Text; text != "still, since 2026-12-01T04:00:00Z: b: partly" {
		t.Errorf("again: %q", text)
	}
}

func TestRepeatMayBeNever(t *testing.T) {
	t.Parallel()
	in := newInbox(t, nil)
	n := newNotifier(t, &logged{}, in.subscriber("ops", Failure))
	pass := clocked(n)
	for range 3 {
		setEnded(n, "a", maintenance.Failed)
		pass(10000 * time.Hour)
	}
	n.Close(ages)
	if diff := cmp.Diff([]string{"failure a"}, in.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Each subscriber gets what it asked for and nothing else.
func TestEachGetsItsEvents(t *testing.T) {
	t.Parallel()
	want := map[Kind][]string{Failure: {"failure a"}, Recovery: {"recovery a"}, Removal: {"removal public.events"}, Pass: {"pass", "pass"}}
	in := map[Kind]*inbox{}
	var all []Subscriber
	for kind := range want {
		in[kind] = newInbox(t, nil)
		all = append(all, in[kind].subscriber(string(kind), kind))
	}
	n := newNotifier(t, &logged{}, all...)
	setEnded(n, "a", maintenance.Failed)
	n.Watch("").Acted(events, drop, maintenance.ActionReport{Action: "drop", Table: "public.events_2019_01", Reason: "it is old", Rows: 7, Archive: "file:///a"})
	n.Watch("").Acted(events, drop, maintenance.ActionReport{Action: "drop", Table: "public.events_2019_02", Error: "vetoed"})
	n.Watch("").Acted(events, partition.Action{Kind: partition.Create}, maintenance.ActionReport{Action: "create"})
	n.Watch("").PassEnded(maintenance.Report{Sets: []maintenance.SetReport{{Set: "a", Status: maintenance.Failed}}}, nil)
	setEnded(n, "a", maintenance.Done)
	n.Watch("").PassEnded(maintenance.Report{Sets: []maintenance.SetReport{{Set: "a", Status: maintenance.Done}}}, nil)
	n.Close(ages)
	for kind, want := range want {
		if diff := cmp.Diff(want, in[kind].told()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	e := in[Removal].events[0]
	if e.Action != "drop" || e.Table != "public.events_2019_01" || e.Result == nil || e.Result.Rows != 7 ||
		e.Text != "drop public.events_2019_01: it is old\n- 7 rows in file:///a" {
		t.Errorf("the removal is %+v", e)
	}
	if e := in[Pass].events[0]; e.Status != maintenance.Failed || e.Pass == nil || len(e.Pass.Sets) != 1 || e.Text != "pass: failed\n- a: failed" {
		t.Errorf("the pass is %+v", e)
	}
}

// A server that restarts is no failure, one that stays away is.
func TestPatienceWithTheServer(t *testing.T) {
	t.Parallel()
	in := newInbox(t, nil)
	log := &logged{}
	n := newNotifier(t, log)
	n.Configure(Options{Log: log.logger(), Patience: time.Minute, Subscribers: []Subscriber{in.subscriber("ops", Failure, Recovery, Pass)}})
	later := clocked(n)
	ended := func(err error) { n.Watch("").PassEnded(maintenance.Report{}, err) }
	ended(fmt.Errorf("observe: %w", context.Canceled)) // Somebody has stopped it.
	ended(errConnect)
	later(30 * time.Second)
	ended(errConnect)
	ended(nil) // A pass, and no recovery.
	ended(errConnect)
	later(time.Minute)
	ended(errConnect) // A failure.
	later(time.Minute)
	ended(errConnect)
	ended(nil)                          // A recovery, and a pass.
	ended(errors.New("something else")) // That is not waited for.
	n.Close(ages)
	want := []string{"pass", "failure", "recovery", "pass", "failure"}
	if diff := cmp.Diff(want, in.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A new configuration does not tell again what was told, and those who are new
// hear of what lasts.
func TestConfigureKeepsWhatWasTold(t *testing.T) {
	t.Parallel()
	one, two := newInbox(t, nil), newInbox(t, nil)
	log := &logged{}
	n := newNotifier(t, log, one.subscriber("one", Failure, Recovery))
	setEnded(n, "a", maintenance.Failed)
	n.Configure(Options{Log: log.logger(), Subscribers: []Subscriber{one.subscriber("one", Failure, Recovery), two.subscriber("two", Failure, Recovery)}})
	setEnded(n, "a", maintenance.Failed)
	n.Configure(Options{Log: log.logger(), Subscribers: []Subscriber{two.subscriber("two", Failure, Recovery)}})
	setEnded(n, "a", maintenance.Idle)
	n.Close(ages)
	if diff := cmp.Diff([][]string{{"failure a"}, {"failure a", "recovery a"}}, [][]string{one.told(), two.told()}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	n.Configure(Options{Log: log.logger(), Subscribers: []Subscriber{two.subscriber("two", Failure)}})
	setEnded(n, "a", maintenance.Failed)
	n.Close(ages)
	if got := len(two.told()); got != 2 {
		t.Errorf("told %d events after the end", got)
	}
}

// A new configuration lets nothing overtake what waits already.
func TestConfigureKeepsTheOrder(t *testing.T) {
	t.Parallel()
	arrived, goOn := make(chan struct{}, 2), make(chan struct{})
	in := newInbox(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-goOn
	})
	log := &logged{}
	n := newNotifier(t, log, in.subscriber("ops", Failure, Recovery))
	setEnded(n, "a", maintenance.Failed)
	<-arrived
	later := newInbox(t, nil)
	n.Configure(Options{Log: log.logger(), Subscribers: []Subscriber{later.subscriber("ops", Failure, Recovery)}})
	setEnded(n, "a", maintenance.Idle)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Close(ages)
	}()
	// The recovery is for the new place, and is not there before the failure is done with.
	if got := later.told(); len(got) > 0 {
		t.Errorf("%q came first", got)
	}
	close(goOn)
	<-ended
	if diff := cmp.Diff([][]string{{"failure a"}, {"recovery a"}}, [][]string{in.told(), later.told()}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// One who does not answer keeps neither the pass waiting nor the other one from
// being told; what does not fit is dropped, counted and logged, and what waits at
// the end is given up and logged, too.
func TestNobodyWaitsForTheSilent(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	silent := newInbox(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	good := newInbox(t, nil)
	log := &logged{}
	n := newNotifier(t, log, silent.subscriber("silent", Removal), good.subscriber("good", Failure))
	act := func() {
		n.Watch("").Acted(events, drop, maintenance.ActionReport{Action: "drop", Table: "public.events_2019_01"})
	}
	act()
	<-arrived
	for range queued + 3 {
		act() // Would hang here.
	}
	setEnded(n, "a", maintenance.Failed)
	n.Close(0)
	if got := strings.Count(log.String(), "a notification was dropped"); got != 3 || !strings.Contains(log.String(), "dropped=3") {
		t.Errorf("%d were dropped, want 3", got)
	}
	if got := strings.Count(log.String(), "a notification was lost"); got < queued+1 {
		t.Errorf("%d are said to be lost, want those in the queue and the one being sent, %d", got, queued+1)
	}
}

func TestTheOthersAreToldMeanwhile(t *testing.T) {
	t.Parallel()
	silent := newInbox(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	arrived := make(chan struct{}, 1)
	good := newInbox(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} })
	n := newNotifier(t, &logged{}, silent.subscriber("silent", Failure), good.subscriber("good", Failure))
	setEnded(n, "a", maintenance.Failed)
	<-arrived // Hangs if the silent one is waited for.
	n.Close(0)
}

// All hooks have to agree, and the first that does not is the last asked.
func TestAllHooksAreAsked(t *testing.T) {
	t.Parallel()
	yes := newInbox(t, nil)
	no := newInbox(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	for _, test := range []struct {
		hooks []*inbox
		asked []int
		err   string
	}{
		{nil, []int{0, 0}, ""},
		{[]*inbox{yes, yes}, []int{2, 0}, ""},
		{[]*inbox{yes, no}, []int{3, 1}, "hook 1: the server answers 409 Conflict"},
		{[]*inbox{no, yes}, []int{3, 2}, "hook 0: the server answers 409 Conflict"},
	} {
		o := Options{Log: (&logged{}).logger(), AskTimeout: ages}
		for i, in := range test.hooks {
			o.BeforeRemoval = append(o.BeforeRemoval, in.receiver(fmt.Sprintf("hook %d", i)))
		}
		n := New(o)
		got := ""
		if err := n.Watch("").Removing(t.Context(), events, drop); err != nil {
			got = err.Error()
		}
		n.Close(0)
		if got != test.err || !slices.Equal([]int{len(yes.told()), len(no.told())}, test.asked) {
			t.Errorf("%d hooks: %q, asked %d and %d times", len(test.hooks), got, len(yes.told()), len(no.told()))
		}
	}
}

// A URL that is not to be had is a veto, and no reason to tell nobody later.
func TestURLIsReadEachTime(t *testing.T) {
	t.Parallel()
	in := newInbox(t, nil)
	calls := 0
	s := in.subscriber("ops", Failure)
	s.Retries = 1
	s.URL = func() (string, error) {
		if calls++; calls == 1 {
			return "", errors.New("the file is away")
		}
		return in.url(), nil
	}
	n := newNotifier(t, &logged{}, s)
	setEnded(n, "a", maintenance.Failed)
	n.Close(ages)
	if diff := cmp.Diff([]string{"failure a"}, in.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	hook := Receiver{Name: "the hook", URL: func() (string, error) { return "", errors.New("the file is away") }}
	m := New(Options{Log: (&logged{}).logger(), BeforeRemoval: []Receiver{hook}, AskTimeout: ages})
	defer m.Close(0)
	if err := m.Watch("").Removing(t.Context(), events, drop); err == nil || err.Error() != "the hook: the file is away" {
		t.Error(err)
	}
}

// What is told of several databases is told apart, and says of which it is.
func TestSeveralDatabases(t *testing.T) {
	t.Parallel()
	in := newInbox(t, nil)
	n := newNotifier(t, &logged{}, in.subscriber("ops", Failure, Recovery, Removal, Pass))
	a, b := n.Watch("shard_01"), n.Watch("shard_02")
	bad := maintenance.SetReport{Set: "public.events", Status: maintenance.Failed, Error: "no"}
	for _, w := range []maintenance.Watcher{a, b, a} {
		r := bad
		r.Database = w.(watcher).database
		w.SetEnded(maintenance.Planned{}, r)
	}
	a.PassEnded(maintenance.Report{}, errConnect)
	b.PassEnded(maintenance.Report{Sets: []maintenance.SetReport{{Database: "shard_02", Set: "public.events", Status: maintenance.Failed}}}, nil)
	b.Acted(events, drop, maintenance.ActionReport{Action: "drop", Table: "public.events_2019_01", Reason: "it is old"})
	b.SetEnded(maintenance.Planned{}, maintenance.SetReport{Database: "shard_02", Set: "public.events", Status: maintenance.Done})
	n.Close(ages)
	var got []string
	for _, e := range in.events {
		got = append(got, fmt.Sprintf("%s of %s: %s", e.Event, e.Database, oneLine(e.Text, 90)))
	}
	want := []string{
		"failure of shard_01: shard_01 public.events: failed - no",
		"failure of shard_02: shard_02 public.events: failed - no",
		"failure of shard_01: shard_01: no pass could be made: could not connect to PostgreSQL connection refused",
		"pass of shard_02: shard_02: pass: failed - public.events: failed",
		"removal of shard_02: shard_02: drop public.events_2019_01: it is old",
		"recovery of shard_02: shard_02 public.events: well again: done",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
