package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// reader makes values of keys. It keeps the first error and then goes on with
// zero values, so that what uses it does not have to look after every key.
type reader struct {
	file   string
	places places
	// database and set are those being read, for errors.
	database, set string
	err           error
}

// fail reports what was expected as the value of path.
func (r *reader) fail(path, want string) {
	at, exact := r.places.find(path)
	value := ""
	if exact {
		value = shownValue(path, at.raw)
	}
	r.report(path, at.line, value, want)
}

// failKey reports what is wrong with a key whatever its value, which may be
// anything if the key is unknown and so is not shown.
func (r *reader) failKey(path, want string) {
	at, _ := r.places.find(path)
	r.report(path, at.line, "", want)
}

// failDefault reports that the value which path has by default, made from
// another key, does not do.
func (r *reader) failDefault(path, from, value, want string) {
	at, _ := r.places.find(from)
	name := path[strings.LastIndexByte(path, '.')+1:]
	r.report(path, at.line, "", fmt.Sprintf("%q by default, %s: expected the key %s in the set", value, want, name))
}

func (r *reader) report(path string, line int, value, want string) {
	if r.err == nil {
		r.err = &Error{File: r.file, Line: line, Key: shownKey(path), Value: value, Want: want, Database: r.database, Set: r.set}
	}
}

// reason returns a parser's error without the value that it starts with, since
// that stands before it already.
func reason(err error, value string) string {
	text, ok := strings.CutPrefix(err.Error(), strconv.Quote(value))
	if !ok {
		return text
	}
	return strings.TrimLeft(text, ": ")
}

// document makes a configuration of a whole file.
func (r *reader) document(keys documentKeys) *Config {
	one := r.connection("database", keys.Database)
	c := &Config{Path: r.file, Schedule: r.schedule(keys.Schedule), Log: r.log(keys.Log), Archive: r.archive(keys.Archive), History: r.history(keys.History),
		Monitor: r.monitor(keys.Monitor)}
	c.Notify, c.Hooks = r.notifies(keys.Notify), r.hooks(keys.Hooks)
	limits := r.limits("limits", keys.Limits, defaultLimits)
	shared := r.sets("set", keys.Sets, c.Schedule, limits)
	if keys.Databases != nil {
		c.Databases = r.fleet(keys.Databases, shared, c.Schedule, limits)
	} else {
		c.Databases = r.single(one, shared)
	}
	return c
}

func (r *reader) schedule(keys scheduleKeys) Schedule {
	s := Schedule{
		Location:    r.zone("schedule.time_zone", keys.TimeZone, time.UTC),
		CronText:    or(keys.Cron, defaultCron),
		RunAtStart:  or(keys.RunAtStart, defaultRunAtStart),
		Databases:   r.number("schedule.databases", keys.Databases, defaultDatabases, 1, 1000),
		Parallel:    r.number("schedule.parallel", keys.Parallel, defaultParallel, 1, 64),
		StopTimeout: r.duration("schedule.stop_timeout", keys.StopTimeout, defaultStopTimeout, 0, 24*time.Hour),
	}
	s.Cron = r.cron("schedule.cron", s.CronText, s.Location)
	return s
}

func (r *reader) log(keys logKeys) Log {
	levels := []string{"debug", "info", "warn", "error"}
	l := Log{
		Level:  defaultLevel,
		Format: LogFormat(r.choice("log.format", keys.Format, string(defaultFormat), string(FormatAuto), string(FormatText), string(FormatJSON))),
	}
	level := r.choice("log.level", keys.Level, strings.ToLower(defaultLevel.String()), levels...)
	if r.err == nil {
		// Cannot fail for one of the levels.
		_ = l.Level.UnmarshalText([]byte(level))
	}
	return l
}

// maxTimeout keeps timeouts within PostgreSQL's settings, which are integers of
// milliseconds (PostgreSQL documentation, 20.11 Client Connection Defaults).
const maxTimeout = 24 * 24 * time.Hour

func (r *reader) limits(path string, keys limitKeys, byDefault partition.Limits) partition.Limits {
	// Zero would switch these timeouts off, which is the pile-up that they prevent.
	const least = time.Millisecond
	l := partition.Limits{
		LockTimeout:       r.duration(path+".lock_timeout", keys.LockTimeout, byDefault.LockTimeout, least, maxTimeout),
		ConcurrentTimeout: r.duration(path+".concurrent_timeout", keys.ConcurrentTimeout, byDefault.ConcurrentTimeout, least, maxTimeout),
		StatementTimeout:  r.duration(path+".statement_timeout", keys.StatementTimeout, byDefault.StatementTimeout, 0, maxTimeout),
		Retries:           r.number(path+".retries", keys.Retries, byDefault.Retries, 0, 100),
		RetryWait:         r.duration(path+".retry_wait", keys.RetryWait, byDefault.RetryWait, least, time.Hour),
		MaxRetryWait:      r.duration(path+".max_retry_wait", keys.MaxRetryWait, byDefault.MaxRetryWait, least, time.Hour),
	}
	if r.err == nil && l.MaxRetryWait < l.RetryWait {
		if keys.MaxRetryWait != nil {
			r.fail(path+".max_retry_wait", fmt.Sprintf("expected at least retry_wait, which is %s", short(l.RetryWait)))
		} else {
			r.fail(path+".retry_wait", fmt.Sprintf("expected at most max_retry_wait, which is %s", short(l.MaxRetryWait)))
		}
	}
	return l
}

// or returns what v points to, or else the default.
func or[T any](v *T, byDefault T) T {
	if v == nil {
		return byDefault
	}
	return *v
}

// choice reads a word out of several.
func (r *reader) choice(path string, v *string, byDefault string, words ...string) string {
	word := or(v, byDefault)
	if !slices.Contains(words, word) {
		r.fail(path, "expected one of "+quotedList(words))
	}
	return word
}

func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, ", ")
}

// number reads a whole number within bounds that it may reach.
func (r *reader) number(path string, v *int, byDefault, least, most int) int {
	n := or(v, byDefault)
	if n < least || n > most {
		r.fail(path, fmt.Sprintf("expected a whole number from %d to %d", least, most))
	}
	return n
}

const durationMeaning = `a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`

// duration reads a duration within bounds that it may reach. Fractions of a
// millisecond are refused: PostgreSQL would round them, to none at worst.
func (r *reader) duration(path string, v *duration, byDefault, least, most time.Duration) time.Duration {
	if v == nil {
		return byDefault
	}
	d, err := time.ParseDuration(string(*v))
	_, bare := strconv.ParseFloat(string(*v), 64)
	switch {
	case bare == nil:
		// time.ParseDuration would take "0".
		r.fail(path, "has no unit: expected "+durationMeaning)
	case err != nil:
		r.fail(path, "expected "+durationMeaning)
	case d < 0:
		r.fail(path, "is negative: expected "+durationMeaning)
	case d%time.Millisecond != 0:
		r.fail(path, "expected whole milliseconds")
	case d < least || d > most:
		r.fail(path, fmt.Sprintf("expected a duration from %s to %s", short(least), short(most)))
	}
	return d
}

// short prints a duration without the zeros that Go puts at its end.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = text[:len(text)-2]
	}
	if strings.HasSuffix(text, "h0m") {
		text = text[:len(text)-2]
	}
	return text
}

// zone reads the name of a time zone. "Local" is refused: it would be another
// one on another host.
func (r *reader) zone(path string, v *string, byDefault *time.Location) *time.Location {
	if v == nil {
		return byDefault
	}
	loc, err := time.LoadLocation(*v)
	if err != nil || *v == "" || *v == "Local" {
		r.fail(path, `expected the name of a time zone, such as "UTC" or "Europe/Berlin"`)
		return byDefault
	}
	return loc
}

const cronMeaning = `expected the five fields minute, hour, day of the month, month and day of the week, or @hourly, @daily, @weekly, @monthly, @yearly or @every with a duration`

// cron reads a schedule and binds it to a time zone.
func (r *reader) cron(path, text string, loc *time.Location) cron.Schedule {
	if strings.Contains(text, "TZ=") {
		// The library takes it, but panics where nothing follows.
		r.fail(path, "has a time zone in it: expected it in the key time_zone")
		return nil
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		r.fail(path, "is not a schedule ("+err.Error()+"): "+cronMeaning)
		return nil
	}
	if spec, ok := schedule.(*cron.SpecSchedule); ok {
		spec.Location = loc
		// Any schedule that runs at all runs within five years of this, the
		// 29th of February included.
		if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			r.fail(path, "never runs: "+cronMeaning)
		}
		return spec
	}
	if every, err := time.ParseDuration(strings.TrimPrefix(text, "@every ")); err != nil || every < time.Second {
		r.fail(path, "expected at least a second after @every")
	}
	return schedule
}
