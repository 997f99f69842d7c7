package postgres

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// rawCheck is a CHECK constraint as the catalog has it.
type rawCheck struct {
	name, definition string
	// enforced is false where it only documents, as PostgreSQL 18 allows.
	validated, enforced bool
	// inherits tells whether the table's own children have it, inherited whether
	// the table has it from a parent, and local whether it was declared on the
	// table as well.
	inherits, inherited, local bool
}

// rawIndex is an index that some tables have; its definition is found by its
// kind. Only an invalid one has a name, and the number of indexes that are parts of it.
type rawIndex struct {
	name       string
	parts      string
	valid      bool
	identity   bool
	constraint string
	digest     string
}

// kind is what the index is on a table of that layout.
func (x rawIndex) kind(l *layout) indexKind {
	return indexKind{alike: l.alike, digest: x.digest, exclusion: x.constraint == "exclude"}
}

// indexKind is what indexes with one definition have in common.
type indexKind struct {
	alike     uint32
	digest    string
	exclusion bool
}

// indexKindInfo is a representative of a kind, and the definition of them all.
type indexKindInfo struct {
	oid        uint32
	definition string
}

// routine is a function that has the name of one of a set's three.
type routine struct {
	state partition.FunctionState
	// notify is what it is as the function of a default partition's trigger.
	notify partition.FunctionState
	// fingerprint is that of the route which it was made from, and direct are the
	// tables of its direct branches.
	fingerprint        string
	direct             []uint32
	definer, isTrigger bool
	owner              string
	// searchPath tells whether it has one of its own.
	searchPath bool
}

// addFunction notes a function. Of one that is ours and whole, the server has
// sent the first line alone.
func (o *observation) addFunction(r *row) {
	place := r.int(0)
	f := routine{definer: r.flag(3), owner: r.text(4), isTrigger: r.flag(5), searchPath: r.flag(6)}
	if m := routeHeader.FindStringSubmatch(r.once(1)); m != nil && r.flag(2) {
		f.state, f.fingerprint, f.direct = partition.FunctionOurs, m[1], oidList(m[2])
	} else {
		f.state, f.fingerprint = classifyFunction(r.once(1))
		f.notify = classifyNotify(r.once(1))
	}
	o.routines[place] = append(o.routines[place], f)
}

// readCatalog is the second round trip: all that the catalogs have on the tables.
func (o *observation) readCatalog(ctx context.Context) error {
	all, alike, children := o.tableOIDs()
	var withACL, withColumnACL, withOptions, generatedOf, byKey []uint32
	var generated, keys []int16
	toasts := map[uint32]*table{}
	for _, t := range o.order {
		if t.acl {
			withACL = append(withACL, t.oid)
		}
		if t.options {
			withOptions = append(withOptions, t.oid)
		}
		if t.toast != 0 {
			withOptions, toasts[t.toast] = append(withOptions, t.toast), t
		}
		if slices.ContainsFunc(t.layout.columns, func(c column) bool { return c.acl }) {
			withColumnACL = append(withColumnACL, t.oid)
		}
		for _, c := range t.layout.columns {
			if c.generated {
				generatedOf, generated = append(generatedOf, t.oid), append(generated, int16(c.number))
			}
		}
		keys, byKey = append(keys, t.key), append(byKey, t.byKey)
	}
	var b, there batch
	other := &b
	if o.beside != nil {
		other = &there
	}
	b.add("checks", func(r *row) {
		if r.null(2) {
			o.vanished = true
		}
		check := &rawCheck{name: r.text(1), definition: r.text(2), validated: r.flag(3), inherits: !r.flag(4),
			enforced: r.flag(5), local: r.flag(6), inherited: r.flag(7)}
		for _, oid := range r.oids(0) {
			t := o.tables[oid]
			t.checks = append(t.checks, check)
		}
	}, oidArray(all), oidArray(alike), smallintArray(keys), oidArray(byKey))
	b.add("grants", func(r *row) {
		value := ""
		if r.flag(4) {
			value = "with grant option"
		}
		p := partition.Grant(r.text(1), r.text(2), r.text(3), value)
		o.property(r, p.Kind, p.Name, p.Value)
	}, oidArray(withACL), oidArray(withColumnACL))
	b.add("options", func(r *row) {
		name, value, _ := strings.Cut(r.text(1), "=")
		own, toast := o.fact(partition.PropOption, name, value), o.fact(partition.PropOption, "toast."+name, value)
		for _, oid := range r.oids(0) {
			if t := o.tables[oid]; t != nil {
				t.facts = append(t.facts, own)
			} else {
				toasts[oid].facts = append(toasts[oid].facts, toast)
			}
		}
	}, oidArray(withOptions))
	b.add("defaults", func(r *row) {
		o.columnProperty(r, partition.PropDefault, r.int(1), r.text(2))
	}, oidArray(all), oidArray(generatedOf), smallintArray(generated))
	b.add("policies", func(r *row) { o.property(r, partition.PropPolicy, r.text(1), r.text(2)) }, oidArray(all), oidArray(alike))
	b.add("publications", func(r *row) { o.property(r, partition.PropPublication, r.text(1), r.text(2)) }, oidArray(all), oidArray(alike))
	b.add("comments", o.addComment, oidArray(all))
	other.add("indexes", o.addIndex, oidArray(all))
	b.add("dependents", func(r *row) {
		t := o.tables[r.oid(0)]
		d := dependent{parent: r.oid(1), text: r.text(2)}
		if n := len(t.dependents); n == 0 || t.dependents[n-1] != d {
			t.dependents = append(t.dependents, d)
		}
	}, oidArray(children))
	o.addParentQueries(&b, other, all)
	if o.beside != nil {
		there.addText("commit", "COMMIT", nil)
	}
	return o.run(ctx, &b, &there)
}

// addParentQueries queues what concerns only parents. Two batches, which may be the
// same, share what takes the server longest.
func (o *observation) addParentQueries(b, other *batch, all []uint32) {
	var parents, triggered, parentOrZero []uint32
	var named []int // The sets of what is looked for.
	var triggers, triggerSchemas, triggerFunctions, schemas, low, high, endings, patterns, functionSchemas, functions []string
	for i, s := range o.sets {
		oid := uint32(0)
		if p := o.parents[i]; p != nil {
			oid = p.oid
			parents, triggers = append(parents, oid), append(triggers, s.Trigger)
			triggerSchemas, triggerFunctions = append(triggerSchemas, s.Function.Schema), append(triggerFunctions, s.Function.Local)
			triggered = append(triggered, o.triggered(i))
		}
		pattern := s.Pattern.Regexp()
		from, to := nameRange(pattern)
		parentOrZero, schemas = append(parentOrZero, oid), append(schemas, s.Parent.Schema)
		low, high, patterns = append(low, from), append(high, to), append(patterns, pattern)
		endings, named = append(endings, ending(s.Pattern.Format(time.Unix(0, 0)))), append(named, i)
		if p := o.parents[i]; p != nil && p.seen.Declarative && s.DefaultPartition {
			name := s.DefaultName().Local
			parentOrZero, schemas = append(parentOrZero, oid), append(schemas, s.Parent.Schema)
			low, high, patterns = append(low, name), append(high, name+"\x01"), append(patterns, "^"+regexp.QuoteMeta(name)+"$")
			endings, named = append(endings, ending(name)), append(named, i)
		}
		for _, f := range routeNames(s.Function) {
			functionSchemas, functions = append(functionSchemas, f.Schema), append(functions, f.Local)
		}
	}
	b.add("default_grantees", func(r *row) {
		for _, i := range o.setsOf[r.oid(0)] {
			p := o.parents[i]
			p.seen.DefaultGrantees = append(p.seen.DefaultGrantees, r.text(1))
		}
	}, oidArray(parents))
	other.add("statistics", func(r *row) {
		for _, i := range o.setsOf[r.oid(0)] {
			p := o.parents[i]
			p.seen.LastAnalyze, p.seen.Analyzed = r.time(1), r.flag(2)
		}
	}, oidArray(parents))
	other.add("triggers", o.addTrigger, oidArray(all), oidArray(triggered), textArray(triggers), textArray(triggerSchemas), textArray(triggerFunctions))
	other.add("functions", o.addFunction, textArray(functionSchemas), textArray(functions), textArg(routeHeader.String()))
	b.add("taken", func(r *row) {
		i := named[r.int(0)]
		o.snaps[i].Taken = append(o.snaps[i].Taken, partition.Name{Schema: o.sets[i].Parent.Schema, Local: r.text(1)})
	}, oidArray(parentOrZero), textArray(schemas), textArray(low), textArray(high), textArray(endings), textArray(patterns))
}

// nameRange returns a range that holds all names which a pattern's regular
// expression matches, as bytes compare. What follows the pattern's first literal
// is always a digit, and ':' is the character after '9'.
func nameRange(pattern string) (from, to string) {
	prefix, _ := regexp.MustCompile(strings.TrimPrefix(pattern, "^")).LiteralPrefix()
	return prefix + "0", prefix + ":"
}

// ending returns the last character of all names that a pattern makes, from one
// of them, and nothing for a digit: the pattern's conversions make digits alone.
func ending(name string) string {
	_, size := utf8.DecodeLastRuneInString(name)
	return strings.Trim(name[len(name)-size:], "0123456789")
}

// tableOIDs returns all tables, for each one that is deparsed alike, and the partitions.
func (o *observation) tableOIDs() (all, alike, children []uint32) {
	for _, t := range o.order {
		all, alike = append(all, t.oid), append(alike, t.layout.alike)
	}
	seen := map[uint32]bool{}
	for _, family := range o.family {
		for _, t := range family {
			if !seen[t.oid] {
				seen[t.oid] = true
				children = append(children, t.oid)
			}
		}
	}
	return all, alike, children
}
