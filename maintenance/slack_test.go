package maintenance_test

import (
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
	"github.com/partitiond/partitiond/sql"
)

// slackMonths are its rows by month, as its description has them.
const slackMonths = `2017_05 | 313
2017_06 | 464
2017_07 | 710
2017_08 | 863
2017_09 | 990
2017_10 | 1486
2017_11 | 1371
2017_12 | 578
2018_01 | 736
2018_02 | 532
2018_03 | 965
2018_04 | 1164
2018_05 | 429
2018_06 | 887
2018_07 | 1610
2018_08 | 705
2018_09 | 635
2018_10 | 800
2018_11 | 767
2018_12 | 469
2019_01 | 549
2019_02 | 1303
2019_03 | 1835
2019_04 | 861
2019_05 | 915
2019_06 | 235`

// TestRealMessages loads real messages through the seed's own trigger, makes one
// pass, and finds every row where and as it was.
func TestRealMessages(t *testing.T) {
	t.Parallel()
	csv := pgtest.RealMessages(t)
	s := newScenario(t)
	s.section("seed.sql", sql.Text("seed.sql"))
	tag, err := s.conn.PgConn().CopyFrom(t.Context(), csv, "COPY chat_master (program_id, user_id, dialogue, created_at) FROM STDIN (FORMAT csv, HEADER)")
	if err != nil {
		t.Fatal(err)
	}
	// Every row went elsewhere by the trigger, so COPY counts none.
	if tag.RowsAffected() != 0 {
		t.Errorf("%d rows went into the parent", tag.RowsAffected())
	}
	c, err := config.Parse("five-lines.toml", []byte("[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.sets = []partition.Set{c.Databases[0].Sets[0].Set}
	const contents = `SELECT tableoid::regclass, count(*), sum(hashtextextended(c::text, 0)::numeric) FROM chat_master c GROUP BY 1 ORDER BY 1`
	before := rows(t, s.conn, contents)

	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	if report.Status() != maintenance.Done {
		t.Fatalf("the pass is %s: %+v", report.Status(), report.Sets)
	}
	s.query = `SELECT to_char(created_at, 'YYYY_MM'), count(*) FROM chat_master GROUP BY 1 ORDER BY 1`
	s.section("result", slackMonths)
	s.query = `SELECT right(tableoid::regclass::text, 7), count(*) FROM chat_master GROUP BY 1 ORDER BY 1`
	s.section("result", slackMonths)
	if after := rows(t, s.conn, contents); after != before {
		t.Errorf("the contents changed:\n%s\n%s", before, after)
	}
	s.query = `SELECT count(*) FROM ONLY chat_master`
	s.section("result", "0")
	// Now a month is found without looking into the others.
	s.query = `EXPLAIN (COSTS off) SELECT count(*) FROM chat_master WHERE created_at >= '2018-11-01' AND created_at < '2018-12-01'`
	if plan := rows(t, s.conn, s.query); strings.Contains(plan, "chat_2018_10") || !strings.Contains(plan, "chat_2018_11") {
		t.Errorf("the plan does not exclude other months:\n%s", plan)
	}
	s.section("left", "")
}
