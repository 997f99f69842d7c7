package postgres

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// table is what was seen of a parent or a partition.
type table struct {
	oid   uint32
	name  partition.Name
	kind  byte
	owner string
	// rows is the planner's estimate, pages the heap's.
	rows, pages int64
	columns     []column
	// alike is a table whose columns have the same numbers and names.
	alike uint32
	// identity is pg_class.relreplident.
	identity   byte
	properties []partition.Property
	checks     []rawCheck
	indexes    []rawIndex
	// triggers tells whether it has enabled BEFORE INSERT row triggers.
	triggers   bool
	dependents []dependent
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
	// typeName is only there for parents.
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
}

// The OIDs of the types that a key may have. They are fixed for ever.
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
	t := o.add(table{oid: r.oid(1), name: set.Parent, kind: r.char(2), owner: r.text(3), rows: r.int(4), pages: r.int(5), identity: r.char(8)})
	t.addSecurity(r.flag(6), r.flag(7))
	o.setsOf[t.oid] = append(o.setsOf[t.oid], int(r.int(0)))
	o.parents[r.int(0)] = &parent{table: t, hasPages: r.flag(11), seen: partition.Parent{
		OID: t.oid, Owner: t.owner, Declarative: t.kind == 'p', NotTable: notTable[t.kind],
		MayAct: r.flag(9), OwnerMayCreate: r.flag(10),
	}}
}

func (o *observation) addChild(r *row) {
	i := r.int(0)
	t := o.add(table{oid: r.oid(1), name: partition.Name{Schema: r.text(2), Local: r.text(3)}, kind: r.char(4),
		owner: r.text(5), rows: r.int(6), pages: r.int(7), identity: r.char(10)})
	t.addSecurity(r.flag(8), r.flag(9))
	o.family[i] = append(o.family[i], t)
}

// addSecurity adds what is read of a table itself, once.
func (t *table) addSecurity(enabled, forced bool) {
	if len(t.properties) > 0 {
		return // It is in two sets, or the parent of one and in another.
	}
	value := "off"
	if enabled {
		value = "on"
	}
	if enabled && forced {
		value = "forced"
	}
	t.properties = append(t.properties, partition.Property{Kind: partition.PropOwner, Value: t.owner},
		partition.Property{Kind: partition.PropRowSecurity, Value: value})
}

var storageWords = map[byte]string{'p': "PLAIN", 'e': "EXTERNAL", 'x': "EXTENDED", 'm': "MAIN"}

func (o *observation) addColumn(r *row) {
	t := o.tables[r.oid(0)]
	if t == nil {
		return // It was made while the transaction began.
	}
	c := column{number: r.int(1), name: r.text(2), typeOID: r.oid(3), modifier: r.int(4), dropped: r.flag(5),
		notNull: r.flag(6), generated: r.flag(7), acl: r.flag(8), typeName: r.text(10)}
	t.columns = append(t.columns, c)
	if c.dropped {
		return
	}
	if c.notNull {
		t.properties = append(t.properties, partition.Property{Kind: partition.PropNotNull, Name: c.name})
	}
	if s := r.char(9); s != 0 {
		t.properties = append(t.properties, partition.Property{Kind: partition.PropColumnStorage, Name: c.name, Value: storageWords[s]})
	}
}

// settleColumns orders the columns and finds the tables that are deparsed alike.
func (o *observation) settleColumns() {
	first := map[string]uint32{}
	var b strings.Builder
	for _, t := range o.order {
		slices.SortFunc(t.columns, func(a, b column) int { return cmp.Compare(a.number, b.number) })
		b.Reset()
		for _, c := range t.columns {
			b.WriteString(strconv.FormatInt(c.number, 10))
			b.WriteByte(0)
			b.WriteString(c.name)
			b.WriteByte(0)
		}
		if _, ok := first[b.String()]; !ok {
			first[b.String()] = t.oid
		}
		t.alike = first[b.String()]
	}
	for i, p := range o.parents {
		if p == nil {
			continue
		}
		for _, c := range p.columns {
			if c.dropped {
				continue
			}
			p.seen.Columns = append(p.seen.Columns, partition.Column{Name: c.name, Type: c.typeName, Generated: c.generated})
			if c.name == o.sets[i].Key {
				if p.seen.Key = keyTypes[c.typeOID]; p.seen.Key == "" {
					p.seen.KeyOther = c.typeName
				}
			}
		}
	}
}

// live returns the columns that are not dropped, in their order.
func (t *table) live() []column {
	return slices.DeleteFunc(slices.Clone(t.columns), func(c column) bool { return c.dropped })
}

// column returns the number of the named column's entry, or -1.
func (t *table) column(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return !c.dropped && c.name == name })
}

// mayHaveRows goes by the planner's estimate, and by the size where there is
// none: ANALYZE finds no rows where all were deleted, but pages.
func (t *table) mayHaveRows() bool { return t.rows > 0 || t.rows < 0 && t.pages > 0 }

// numbered returns the column with that number, or nil.
func (t *table) numbered(number int64) *column {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.number == number && !c.dropped })
	if i < 0 {
		return nil
	}
	return &t.columns[i]
}

func (t *table) sameShape(as []column) bool {
	return slices.EqualFunc(t.live(), as, func(a, b column) bool {
		return a.name == b.name && a.typeOID == b.typeOID && a.modifier == b.modifier && a.generated == b.generated
	})
}
