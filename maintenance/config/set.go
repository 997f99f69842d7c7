package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// readSet makes a set of the keys at path.
func (r *reader) readSet(path string, keys setKeys, schedule Schedule, limits partition.Limits) Set {
	r.set = ""
	if keys.Parent == nil {
		r.failKey(path+".parent", `is missing: expected the parent table, such as "public.events"`)
		return Set{}
	}
	parent, err := partition.ParseName(*keys.Parent)
	if err != nil {
		r.fail(path+".parent", reason(err, *keys.Parent))
		return Set{}
	}
	r.set = parent.String()
	if keys.Key == nil {
		r.failKey(path+".key", `is missing: expected the column that decides a row's partition, such as "created_at"`)
		return Set{}
	}
	s := Set{CronText: or(keys.Cron, schedule.CronText)}
	s.Parent = parent
	s.Key = r.identifier(path+".key", *keys.Key)
	s.Interval = r.period(path+".interval", keys.Interval)
	s.Ahead = r.number(path+".ahead", keys.Ahead, defaultAhead, 0, 1000)
	if r.err != nil {
		return Set{} // What follows needs a good interval.
	}
	s.Pattern = r.pattern(path, keys.Name, parent, s.Interval)
	s.FillGaps = or(keys.FillGaps, defaultFillGaps)
	if keys.KeyUnit != nil {
		s.KeyUnit = partition.KeyUnit(r.choice(path+".key_unit", keys.KeyUnit, "",
			string(partition.UnitSeconds), string(partition.UnitMilliseconds), string(partition.UnitMicroseconds)))
	}
	if keys.Style != nil {
		s.Style = partition.Style(r.choice(path+".style", keys.Style, "", string(partition.Inheritance), string(partition.Declarative)))
	}
	s.DefaultPartition = or(keys.DefaultPartition, defaultDefaultPartition)
	s.Location = r.zone(path+".time_zone", keys.TimeZone, schedule.Location)
	s.Cron = r.setCron(path, keys, schedule, s.Location)
	s.Trigger = r.trigger(path, keys.Trigger, parent)
	s.Function = r.function(path, keys.Function, parent)
	s.Takeover = or(keys.Takeover, defaultTakeover)
	s.Window = r.window(path, keys, s.Interval, s.Ahead)
	s.Retention = r.retention(path+".retention", keys.Retention, s.Interval)
	s.Indexes = or(keys.Indexes, defaultIndexes)
	s.Grants = partition.GrantMode(r.choice(path+".grants", keys.Grants, string(defaultGrants),
		string(partition.GrantsAdd), string(partition.GrantsExact), string(partition.GrantsOff)))
	s.AnalyzeEvery = r.duration(path+".analyze_every", keys.AnalyzeEvery, defaultAnalyzeEvery, 0, 10*365*24*time.Hour)
	s.SweepBatch = r.number(path+".sweep_batch", keys.SweepBatch, defaultSweepBatch, 1, 1_000_000)
	s.Limits = r.limits(path+".limits", keys.Limits, limits)
	return s
}

// setCron reads the set's cron. The schedule's own is read once more where only
// the time zone is the set's.
func (r *reader) setCron(path string, keys setKeys, schedule Schedule, loc *time.Location) cron.Schedule {
	if keys.Cron == nil {
		if keys.TimeZone == nil {
			return schedule.Cron
		}
		return r.cron("schedule.cron", schedule.CronText, loc)
	}
	return r.cron(path+".cron", *keys.Cron, loc)
}

// identifier reads a name of one part, as PostgreSQL would.
func (r *reader) identifier(path, text string) string {
	// With a schema put before it, a name of two parts has three.
	name, err := partition.ParseName("x." + text)
	if err != nil {
		if _, err = partition.ParseName(text); err == nil {
			r.fail(path, "expected a name without a schema")
		} else {
			r.fail(path, strings.Replace(reason(err, text), "is not a table name", "is not a name", 1))
		}
	}
	return name.Local
}

// pattern reads the name of new partitions.
func (r *reader) pattern(path string, v *string, parent partition.Name, iv partition.Interval) partition.Pattern {
	base := partition.BaseName(parent)
	if v == nil {
		text := strings.ReplaceAll(base, "%", "%%") + nameSuffixes[iv.Unit]
		p, err := partition.ParsePattern(text, iv)
		if err != nil {
			r.failDefault(path+".name", path+".parent", text, reason(err, text))
		}
		return p
	}
	p, err := partition.ParsePattern(*v, iv)
	if err != nil {
		r.fail(path+".name", reason(err, *v))
	} else if strings.Contains(*v, ".") && !strings.Contains(base, ".") {
		r.fail(path+".name", "has a dot in it: expected a name without a schema, for partitions live in the parent's")
	}
	return p
}

// trigger reads the name of the trigger.
func (r *reader) trigger(path string, v *string, parent partition.Name) string {
	if v != nil {
		return r.identifier(path+".trigger", *v)
	}
	name := "insert_" + partition.BaseName(parent) + "_trigger"
	if len(name) > partition.MaxNameBytes {
		r.failDefault(path+".trigger", path+".parent", name, tooLong(len(name), partition.MaxNameBytes, ""))
	}
	return name
}

// function reads the name of the trigger function, which also is the beginning
// of its helpers' names.
func (r *reader) function(path string, v *string, parent partition.Name) partition.Name {
	most := partition.MaxNameBytes
	for _, suffix := range helperSuffixes {
		most = min(most, partition.MaxNameBytes-len(suffix))
	}
	const why = " and helpers' names add to it"
	if v == nil {
		name := partition.Name{Schema: parent.Schema, Local: partition.BaseName(parent) + "_insert_function"}
		if len(name.Local) > most {
			r.failDefault(path+".function", path+".parent", name.Local, tooLong(len(name.Local), most, why))
		}
		return name
	}
	schema := `"` + strings.ReplaceAll(parent.Schema, `"`, `""`) + `"`
	name, err := partition.ParseName(schema + "." + *v)
	if err != nil {
		name, err = partition.ParseName(*v)
	}
	if err != nil {
		r.fail(path+".function", reason(err, *v))
	} else if len(name.Local) > most {
		r.fail(path+".function", tooLong(len(name.Local), most, why))
	}
	return name
}

func tooLong(have, most int, why string) string {
	return fmt.Sprintf("has %d bytes: PostgreSQL keeps %d of a name%s, so expected at most %d", have, partition.MaxNameBytes, why, most)
}

// retention reads what becomes of old partitions.
func (r *reader) retention(path string, keys retentionKeys, iv partition.Interval) partition.Retention {
	fates := []string{string(partition.Keep), string(partition.Detach), string(partition.Archive), string(partition.Drop)}
	t := partition.Retention{
		Keep:     r.interval(path+".keep", keys.Keep, partition.Interval{}),
		Then:     partition.Then(r.choice(path+".then", keys.Then, string(partition.Keep), fates...)),
		MaxShare: or(keys.MaxShare, defaultMaxShare),
	}
	switch {
	case r.err != nil:
	case keys.Keep != nil && keys.Then == nil:
		r.fail(path+".keep", "says nothing of what becomes of older partitions: expected then beside it, one of "+quotedList(fates))
	case keys.Keep != nil && !reaches(t.Keep, iv, 1, false):
		r.fail(path+".keep", fmt.Sprintf("is shorter than the set's interval of %s: expected at least that", iv))
	case keys.Keep == nil && t.Then != partition.Keep:
		r.fail(path+".then", `expected keep beside it, such as keep = "12 months"`)
	case t.Then == partition.Archive && keys.Archive == nil:
		r.fail(path+".then", "expected archive beside it: "+archiveMeaning)
	case t.Then != partition.Archive && keys.Archive != nil:
		r.fail(path+".archive", `expected then = "archive" beside it`)
	case t.Then != partition.Detach && keys.Schema != nil:
		r.fail(path+".schema", `expected then = "detach" beside it`)
	case !(t.MaxShare > 0 && t.MaxShare <= 1): // Refuses NaN, too.
		r.fail(path+".max_share", "expected a number above 0 and up to 1")
	}
	if keys.Archive != nil {
		if _, err := partition.ParseArchive(strings.ReplaceAll(*keys.Archive, databasePlaceholder, "name")); err != nil {
			r.fail(path+".archive", err.Error())
		}
		t.Archive = *keys.Archive
	}
	if t.Then == partition.Archive {
		t.LateGrace = r.duration(path+".late_grace", keys.LateGrace, defaultLateGrace, 0, 10*365*24*time.Hour)
	} else if keys.LateGrace != nil {
		r.fail(path+".late_grace", `expected then = "archive" beside it`)
	}
	if keys.Schema != nil {
		t.Schema = r.identifier(path+".schema", *keys.Schema)
	}
	return t
}

const archiveMeaning = `expected file:///absolute/path or s3://bucket/prefix`

// apart makes sure that no two sets get into each other's way.
func (r *reader) apart(sets []placed) {
	if r.err != nil {
		return
	}
	type table struct{ schema, template string }
	parents, tables, functions := map[partition.Name]int{}, map[table]int{}, map[partition.Name]int{}
	other := func(i int) string {
		at, _ := r.places.find(sets[i].path)
		return fmt.Sprintf("set %q in line %d", sets[i].Parent, at.line)
	}
	for i, s := range sets {
		here := s.path
		r.set = s.Parent.String()
		if first, taken := parents[s.Parent]; taken {
			r.fail(here+".parent", "is the parent of "+other(first)+", too: expected one set for a table")
			return
		}
		parents[s.Parent] = i
		makes := table{s.Parent.Schema, s.Pattern.ToChar()}
		if first, taken := tables[makes]; taken {
			r.fail(here+".name", fmt.Sprintf("names partitions %q in schema %s, as does %s: expected another name", s.Pattern, s.Parent.Schema, other(first)))
			return
		}
		tables[makes] = i
		for _, suffix := range helperSuffixes {
			function := partition.Name{Schema: s.Function.Schema, Local: s.Function.Local + suffix}
			if first, taken := functions[function]; taken {
				r.fail(here+".function", fmt.Sprintf("makes the function %s, as does %s: expected another name", function, other(first)))
				return
			}
			functions[function] = i
		}
	}
}
