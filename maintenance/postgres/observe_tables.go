package postgres

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// table is what was seen of a parent or a partition. Most partitions are like
// most others, so what tables have is kept once, and they refer to it.
type table struct {
	oid   uint32
	name  partition.Name
	kind  byte
	owner string
	// rows is the planner's estimate, pages the heap's.
	rows, pages int64
	// acl and options tell whether there are any, toast is the TOAST table.
	acl, options bool
	toast        uint32
	// columns are numbers in observation.columns, until their layout is known.
	columns []uint32
	layout  *layout
	// key is the number of its set's key, byKey a table that has a column of that
	// number and name; they are 0 where the table does not look like its parent.
	key   int16
	byKey uint32
	// identity is pg_class.relreplident.
	identity byte
	// facts are numbers in observation.facts, indexes in observation.indexes.
	facts   []uint32
	indexes []uint32
	checks  []*rawCheck
	// properties are settled last, and shared with tables that have the same.
	properties []partition.Property
	// triggers tells whether it has enabled BEFORE INSERT row triggers.
	triggers   bool
	dependents []dependent
	// bound is what it is declared to hold, empty where that is not so; heap is a
	// default partition's size in bytes. pending and detached are as in children.sql.
	bound             string
	heap              int64
	pending, detached bool
}

// layout is the columns that some tables have, in their order.
type layout struct {
	number  uint32
	columns []column
	// live are those that are not dropped.
	live []column
	// alike is a table whose columns have the same numbers and names.
	alike uint32
}

type column struct {
	number    int64
	name      string
	typeOID   uint32
	modifier  int64
	dropped   bool
	notNull   bool
	generated bool
	// acl tells whether privileges on the column alone were ever granted.
	acl bool
	// storage is empty where it is the type's own.
	storage  string
	typeName string
}

// dependent is something that would break with the table. Where parent is not
// zero, it is what the table inherits from.
type dependent struct {
	parent uint32
	text   string
}

// parent is a set's parent with what concerns only parents.
type parent struct {
	*table
	seen partition.Parent
	// hasPages tells whether the parent's own heap has ever had rows.
	hasPages bool
	// ownNotNull are the numbers of columns whose NOT NULL its children do not inherit.
	ownNotNull []uint32
}

// The OIDs of the types that a key may have. They are fixed for ever.
const oidBigint, oidUUID = 20, 2950

var keyTypes = map[uint32]partition.KeyType{1082: partition.KeyDate, 1114: partition.KeyTimestamp, 1184: partition.KeyTimestampTZ}

// notTable names the relation kinds that are no tables (PostgreSQL
// documentation, 53.11 pg_class).
var notTable = map[byte]string{'v': "view", 'm': "materialized view", 'S': "sequence", 'f': "foreign table",
	'i': "index", 'I': "index", 'c': "composite type", 't': "TOAST table"}

func (o *observation) add(t table) *table {
	if known, ok := o.tables[t.oid]; ok {
		return known
	}
	o.tables[t.oid] = &t
	o.order = append(o.order, &t)
	return &t
}

func (o *observation) addParent(r *row) {
	set := o.sets[r.int(0)]
	t := o.add(table{oid: r.oid(1), name: set.Parent, kind: r.char(2), owner: r.text(3), rows: r.int(4), pages: r.int(5),
		identity: r.char(8), acl: r.flag(12), options: r.flag(13), toast: r.oid(14)})
	tablespace, refused := r.text(19), ""
	if !r.flag(20) {
		tablespace, refused = "", tablespace
	}
	o.addOwn(t, r.flag(6), r.flag(7), tablespace)
	o.setsOf[t.oid] = append(o.setsOf[t.oid], int(r.int(0)))
	p := &parent{table: t, hasPages: r.flag(11), seen: partition.Parent{
		OID: t.oid, Owner: t.owner, Declarative: t.kind == 'p', NotTable: notTable[t.kind],
		MayAct: r.flag(9), OwnerMayCreate: r.flag(10), PartitionedBy: r.text(15), RangeColumn: r.text(16), Distributed: r.flag(18),
		TablespaceRefused: refused,
	}}
	if !r.null(17) {
		p.ownNotNull = slices.Clone(r.oids(17))
	}
	o.parents[r.int(0)] = p
}

func (o *observation) addChild(r *row) {
	i := r.int(0)
	t := o.add(table{oid: r.oid(1), name: partition.Name{Schema: r.text(2), Local: r.once(3)}, kind: r.char(4),
		owner: r.text(5), rows: r.int(6), pages: r.int(7), identity: r.char(10), acl: r.flag(11), options: r.flag(12), toast: r.oid(13),
		bound: r.text(14), pending: r.flag(16), detached: r.flag(17)})
	if !r.null(15) {
		t.heap = r.int(15)
	}
	o.addOwn(t, r.flag(8), r.flag(9), r.text(18))
	o.family[i] = append(o.family[i], t)
}

// fact returns the number of a property that some tables have.
func (o *observation) fact(kind partition.PropertyKind, name, value string) uint32 {
	p := partition.Property{Kind: kind, Name: name, Value: value}
	n, ok := o.factNumbers[p]
	if !ok {
		n = uint32(len(o.facts))
		o.factNumbers[p] = n
		o.facts = append(o.facts, p)
	}
	return n
}

// addOwn adds what is read of a table itself, once.
func (o *observation) addOwn(t *table, enabled, forced bool, tablespace string) {
	if len(t.facts) > 0 {
		return // It is in two sets, or the parent of one and in another.
	}
	value := "off"
	if enabled {
		value = "on"
	}
	if enabled && forced {
		value = "forced"
	}
	t.facts = append(t.facts, o.fact(partition.PropOwner, "", t.owner), o.fact(partition.PropRowSecurity, "", value))
	if tablespace != "" {
		t.facts = append(t.facts, o.fact(partition.PropTablespace, "", tablespace))
	}
}

var storageWords = map[byte]string{'p': "PLAIN", 'e': "EXTERNAL", 'x': "EXTENDED", 'm': "MAIN"}

func (o *observation) addColumn(r *row) {
	number := uint32(len(o.columns))
	o.columns = append(o.columns, column{number: r.int(1), name: r.text(2), typeOID: r.oid(3), modifier: r.int(4), dropped: r.flag(5),
		notNull: r.flag(6), generated: r.flag(7), acl: r.flag(8), storage: storageWords[r.char(9)], typeName: r.text(10)})
	for _, oid := range r.oids(0) {
		if t := o.tables[oid]; t != nil { // Otherwise it was made while the transaction began.
			t.columns = append(t.columns, number)
		}
	}
}

// settleColumns orders the columns and finds the tables that are deparsed alike.
func (o *observation) settleColumns() {
	layouts := map[string]*layout{}
	first := map[string]uint32{}
	var key []byte
	for _, t := range o.order {
		slices.SortFunc(t.columns, func(a, b uint32) int { return cmp.Compare(o.columns[a].number, o.columns[b].number) })
		key = key[:0]
		for _, n := range t.columns {
			key = binary.NativeEndian.AppendUint32(key, n)
		}
		l := layouts[string(key)]
		if l == nil {
			l = o.layoutOf(t, uint32(len(layouts)), first)
			layouts[string(key)] = l
		}
		t.layout, t.columns = l, nil
	}
	o.settleKeys()
	for i, p := range o.parents {
		if p == nil {
			continue
		}
		for _, c := range p.layout.live {
			p.seen.Columns = append(p.seen.Columns, partition.Column{Name: c.name, Type: c.typeName, Generated: c.generated})
			if c.name == o.sets[i].Key {
				if p.seen.Key = keyTypeOf(o.sets[i], p.seen.Declarative, c.typeOID); p.seen.Key == "" {
					p.seen.KeyOther = c.typeName
				}
			}
		}
	}
}

// layoutOf makes the layout that a table is the first to have. The map has the
// first of those tables whose columns have the same numbers and names.
func (o *observation) layoutOf(t *table, number uint32, first map[string]uint32) *layout {
	l := &layout{number: number}
	var b strings.Builder
	for _, n := range t.columns {
		c := o.columns[n]
		l.columns = append(l.columns, c)
		if !c.dropped {
			l.live = append(l.live, c)
		}
		b.WriteString(strconv.FormatInt(c.number, 10))
		b.WriteByte(0)
		b.WriteString(c.name)
		b.WriteByte(0)
	}
	if _, ok := first[b.String()]; !ok {
		first[b.String()] = t.oid
	}
	l.alike = first[b.String()]
	return l
}

// settleKeys finds for each table that looks like its parent one by which
// expressions with only the key in them are deparsed, the same for many sets.
func (o *observation) settleKeys() {
	type place struct {
		number int64
		name   string
	}
	first := map[place]uint32{}
	for i, set := range o.sets {
		p := o.parents[i]
		if p == nil {
			continue
		}
		k := p.layout.column(set.Key)
		if k < 0 {
			continue
		}
		at := place{p.layout.columns[k].number, set.Key}
		if first[at] == 0 {
			first[at] = p.oid
		}
		for _, t := range o.family[i] {
			if t.layout.alike == p.layout.alike {
				t.key, t.byKey = int16(at.number), first[at]
			}
		}
	}
}

// column returns the place of the named column, or -1.
func (l *layout) column(name string) int {
	return slices.IndexFunc(l.columns, func(c column) bool { return !c.dropped && c.name == name })
}

// numbered returns the column with that number, or nil.
func (l *layout) numbered(number int64) *column {
	i := slices.IndexFunc(l.columns, func(c column) bool { return c.number == number && !c.dropped })
	if i < 0 {
		return nil
	}
	return &l.columns[i]
}

func (l *layout) sameShape(as *layout) bool {
	return l == as || slices.EqualFunc(l.live, as.live, func(a, b column) bool {
		return a.name == b.name && a.typeOID == b.typeOID && a.modifier == b.modifier && a.generated == b.generated
	})
}

// mayHaveRows goes by the planner's estimate, and by the size where there is
// none: ANALYZE finds no rows where all were deleted, but pages.
func (t *table) mayHaveRows() bool { return t.rows > 0 || t.rows < 0 && t.pages > 0 }
