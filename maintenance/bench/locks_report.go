package main

import (
	"fmt"
	"time"
)

func (l *locks) report(ways []*lockWay, pass *passes, rounds int) table {
	t := table{head: []string{"", "inserts", "p99.9", "worst insert", "longest lock wait of an insert", "failed", "worst read", "the maintenance took"}}
	row := func(name string, r result, maintained bool) {
		if len(r.inserts.times) == 0 {
			return
		}
		took := ""
		if maintained {
			took = r.took.Round(100 * time.Millisecond).String()
		}
		locked := "none of " + milliseconds(noticed)
		if r.locked > 0 {
			locked = milliseconds(r.locked)
		}
		t.rows = append(t.rows, []string{name, fmt.Sprint(len(r.inserts.times)), milliseconds(r.inserts.quantile(0.999)), milliseconds(r.inserts.worst()), locked,
			fmt.Sprint(r.inserts.failed + r.lost), milliseconds(r.reads.worst()), took})
	}
	for _, w := range ways {
		switch w.template {
		case partmanTemplate:
			row("the same load on a native set, alone", w.alone, false)
		default:
			row("the load, alone", w.alone, false)
		}
		row(w.name+", without a reader", w.without, true)
		row(w.name+", with a reader", w.with, true)
	}
	t.notes = append(t.notes,
		fmt.Sprintf("pgbench inserts 300 rows a second through the parent with 4 clients, and reads one user's rows of this month through it 60 times a second "+
			"with 4 more. Watched for %s without a reader and %s with one, %d times each; times are from the start of a statement to its end. The set has 8 months, "+
			"%d rows this month and %d each other. A pass makes 3 months; gives 6 a CHECK that excludes them, an index and a privilege; renews "+
			"the trigger's function, drops 2 months and analyzes. The plain DDL does so statement by statement without lock_timeout, this month first. pg_partman only drops.",
			l.quiet, l.window, rounds, l.last, l.rest),
		fmt.Sprintf("The reader has read the whole parent and keeps its transaction open for %s. With lock_timeout %s and %d retries, the passes beside it made %d "+
			"tries more, %d actions gave up, and %d of them named the reader. The pass after it finished them all. %s",
			l.reader, lockTimeout, pass.set.Limits.Retries, pass.tries, pass.gaveUp, pass.named, pass.example),
		fmt.Sprintf("Aims: with a reader the pass's worst insert below %s: %s. Without one at most twice the load's own: %.2f times. None fails: %d.",
			lockTimeout+50*time.Millisecond, verdict(pass.with.inserts.worst() < lockTimeout+50*time.Millisecond),
			float64(pass.without.inserts.worst())/float64(pass.alone.inserts.worst()),
			pass.with.inserts.failed+pass.with.lost+pass.without.inserts.failed+pass.without.lost))
	if len(ways) < 3 {
		t.notes = append(t.notes, "pg_partman is not installed here, and so not beside them.")
	}
	return t
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
