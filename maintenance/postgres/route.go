package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// setLockClass is the first key of the advisory lock that guards the making of
// a set's partitions; the second is the parent's OID, its bits taken for a
// signed number. The routing functions take the same lock, each for its
// transaction (PostgreSQL documentation, 13.3.5 Advisory Locks). It never
// changes: functions that an older release installed must exclude a newer daemon.
const setLockClass int32 = 0x70617273 // "pars"

// routeNames returns the names of a set's three functions: the trigger function
// itself, the one that makes partitions, and the one that compares columns. The
// observer looks them up in this order.
func routeNames(function partition.Name) [3]partition.Name {
	with := func(suffix string) partition.Name {
		local := function.Local + suffix
		if len(local) > partition.MaxNameBytes {
			// PostgreSQL would cut off the very suffix. The digest keeps functions apart that differ only behind the cut.
			suffix = "_" + shortDigest(function.Local) + suffix
			local = strings.ToValidUTF8(function.Local[:partition.MaxNameBytes-len(suffix)], "") + suffix
		}
		return partition.Name{Schema: function.Schema, Local: local}
	}
	return [3]partition.Name{function, with("_create"), with("_fits")}
}

// routeFunctions returns the statements that install a set's routing functions,
// to be run in one transaction as the parent's owner and in this order: what is
// called comes before what calls it.
func routeFunctions(r partition.Route) []string {
	v := newRouteView(r)
	var out []string
	for _, statement := range strings.Split(v.render("functions", v), statementEnd) {
		if statement = strings.TrimSpace(statement); statement != "" {
			out = append(out, statement)
		}
	}
	return out
}

// statementEnd stands between statements. A zero byte occurs in no SQL.
const statementEnd = "\x00"

// routeView is what sql/route.sql is filled in with. All strings but Hours'
// neighbours are SQL: quoted names, literals, expressions.
type routeView struct {
	Function, Create, Fits                 string
	RowComment, CreateComment, FitsComment string
	// Grantees may make partitions by inserting, and nobody else.
	Grantees     []string
	RevokeOthers string

	ParentSchema, ParentLocal string
	Key, KeyText, KeyType     string
	// Zoned tells whether the key is an instant.
	Zoned bool
	Zone  string
	// One of these is not zero. Anchor is the day that days are counted from.
	Months, Days, Hours int
	Anchor              string
	ToChar              string
	// Oldest and Newest bound the moments that get a new partition; empty where nothing does.
	Oldest, Newest             string
	CheckPattern, BoundPattern string
	LockClass                  int32
	// Creation are literals of templates for format().
	Creation []string
	// Optional are such literals, too, whose failure leaves the partition as it is.
	Optional []string
	// Found is the setting in which Create notes what it found; the trigger
	// function keeps such notes in settings of NotePrefix and a number, which it
	// makes from the key by NoteFormat.
	Found, NotePrefix, NoteFormat string

	// Direct are the branches to try first, which write without a lock of their own;
	// Known are those of them whose table's OID is known.
	Direct, Known []branchView
	Tree          *treeView
	// Leaf is the template for what a branch does.
	Leaf string

	route    partition.Route
	template *template.Template
}

// With returns the view for another template of a branch.
func (v *routeView) With(leaf string) *routeView {
	c := *v
	c.Leaf = leaf
	return &c
}

// Under returns the view for a part of the tree.
func (v *routeView) Under(t *treeView) *routeView {
	c := *v
	c.Tree = t
	return &c
}

func newRouteView(r partition.Route) *routeView {
	names := routeNames(r.Function)
	pattern, err := partition.ParsePattern(r.Pattern, r.Interval)
	if err != nil {
		panic("a route with an impossible pattern: " + err.Error()) // Sets are valid by construction.
	}
	v := &routeView{
		Function: quoteName(names[0]), Create: quoteName(names[1]), Fits: quoteName(names[2]),
		ParentSchema: quoteLiteral(r.Parent.Schema), ParentLocal: quoteLiteral(r.Parent.Local),
		Key: "NEW." + quoteIdent(r.Key), KeyText: quoteLiteral(r.Key), KeyType: string(r.KeyType),
		Zoned: r.KeyType == partition.KeyTimestampTZ, Zone: quoteLiteral(r.Zone),
		ToChar: quoteLiteral(pattern.ToChar()), LockClass: setLockClass,
		route: r,
	}
	comment := func(text string) string {
		return quoteLiteral(text + " It is part of partitiond, which replaces it when partitions come and go.")
	}
	v.RowComment = comment("Sends the rows of " + r.Parent.String() + " to its partitions.")
	v.CreateComment = comment("Finds or makes the partition of " + r.Parent.String() + " for a value of " + r.Key + ".")
	v.FitsComment = comment("Tells whether a partition of " + r.Parent.String() + " has its columns in the same order.")
	found := "partitiond.found_" + shortDigest(r.Parent.Schema, r.Parent.Local)
	v.Found, v.NotePrefix = quoteLiteral(found), quoteLiteral(found+"_")
	v.period(r.Interval)
	v.Oldest, v.Newest = v.window(r.Window.Past, "-"), v.window(r.Window.Future, "+")
	v.CheckPattern, v.BoundPattern = boundPatterns(r)
	for _, t := range creationTemplates(r) {
		v.Creation = append(v.Creation, quoteLiteral(t))
	}
	for _, kind := range optionalKinds {
		for _, t := range optionalTemplates(r, kind) {
			v.Optional = append(v.Optional, quoteLiteral(t))
		}
	}
	v.grants()
	v.branches()
	v.template = template.Must(template.New("route").Funcs(template.FuncMap{
		"include": v.render, "indent": indent, "statement": func() string { return statementEnd },
		"quoted": func(v *routeView, name string) string { return dollarQuote(v.source(name)) },
	}).Parse(sql.Text("route.sql")))
	return v
}

func (v *routeView) render(name string, data any) string {
	var b strings.Builder
	if err := v.template.ExecuteTemplate(&b, name, data); err != nil {
		panic("render " + name + " of route.sql: " + err.Error()) // A test renders all of it.
	}
	return b.String()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n  ")
}

// source returns a function's body with the header that [classifyFunction] reads.
func (v *routeView) source(name string) string {
	body := strings.TrimLeft(v.render(name, v), "\n")
	near := ""
	for _, b := range v.Direct {
		near += "," + strconv.FormatUint(uint64(b.OID), 10)
	}
	if near != "" {
		near = " near=" + near[1:]
	}
	return fmt.Sprintf("\n-- partitiond route %d fingerprint=%s%s body=%s\n%s",
		v.route.Version, v.route.Fingerprint(), near, bodyDigest(body), body)
}

func bodyDigest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func (v *routeView) period(iv partition.Interval) {
	v.NoteFormat = quoteLiteral("YYYYMMDD")
	switch iv.Unit {
	case partition.Hour:
		v.Hours, v.NoteFormat = iv.N, quoteLiteral("YYYYMMDDHH24")
	case partition.Day:
		v.Days, v.Anchor = iv.N, "1970-01-01"
	case partition.Week:
		v.Days, v.Anchor = 7*iv.N, "1969-12-29"
	default:
		v.Months, v.NoteFormat = inMonths(iv), quoteLiteral("YYYYMM")
	}
}

func inMonths(iv partition.Interval) int {
	switch iv.Unit {
	case partition.Quarter:
		return 3 * iv.N
	case partition.Year:
		return 12 * iv.N
	}
	return iv.N
}

// window returns the end of the window on one side of the present, as a value
// of the key's type or one that compares with it. The functions run in the
// set's time zone. What is further than the calendar they can handle is no
// bound at all.
func (v *routeView) window(iv partition.Interval, sign string) string {
	var width string
	years := iv.N
	switch iv.Unit {
	case partition.Hour:
		width, years = fmt.Sprintf("%d hours", iv.N), iv.N/(24*365)
	case partition.Day:
		width, years = fmt.Sprintf("%d days", iv.N), iv.N/365
	case partition.Week:
		width, years = fmt.Sprintf("%d days", 7*iv.N), iv.N/52
	case partition.Month, partition.Quarter, partition.Year:
		width, years = fmt.Sprintf("%d months", inMonths(iv)), inMonths(iv)/12
	}
	if width == "" || years > 4000 {
		return ""
	}
	present := "now()"
	if !v.Zoned {
		present = "localtimestamp"
	}
	return fmt.Sprintf("%s %s interval '%s'", present, sign, width)
}

// boundPatterns returns two regular expressions, as literals, for PostgreSQL's
// own print of a CHECK: one that matches a whole definition made of nothing but
// comparisons that are understood, and one that matches a single comparison and
// takes its operator and constant out. The forms are the plain range and, for
// wall clocks, those over whole days that the dynamic triggers of old use. With
// timestamptz days would depend on the time zone of whoever looks.
func boundPatterns(r partition.Route) (whole, single string) {
	key := `(?:` + regexp.QuoteMeta(r.Key) + `|` + regexp.QuoteMeta(quoteIdent(r.Key)) + `)`
	kind := string(r.KeyType)
	if r.KeyType == partition.KeyTimestamp {
		key = `(?:` + key + `|\(` + key + `\)::date|date_trunc\('day'::text, ` + key + `\)(?= [<>=]+ '[^']* 00:00:00'))`
		kind += `|date`
	}
	single = `\(` + key + ` (>=|<) '([^']+)'::(?:` + kind + `)\)`
	part := strings.Replace(strings.Replace(single, "(>=|<)", "(?:>=|<)", 1), "([^']+)", "[^']+", 1)
	whole = `^CHECK \((?:` + part + `|\(` + part + `(?: AND ` + part + `)*\))\)(?: NO INHERIT)?(?: NOT VALID)?$`
	return quoteLiteral(whole), quoteLiteral(single)
}

// grants gives the right to make partitions to the roles that may insert, and
// takes it from all that could once.
func (v *routeView) grants() {
	var roles, literals []string
	for _, p := range v.route.Properties {
		if p.Kind != partition.PropGrant && p.Kind != partition.PropColumnGrant {
			continue
		}
		if _, role, privilege := partition.SplitGrant(p); privilege == "INSERT" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	for _, role := range roles {
		v.Grantees = append(v.Grantees, quoteRole(role))
		literals = append(literals, quoteLiteral(role))
	}
	call := fmt.Sprintf("%s(%s)", v.Create, v.KeyType)
	v.RevokeOthers = "DO " + dollarQuote(fmt.Sprintf(`
DECLARE
  role pg_catalog.text;
BEGIN
  FOR role IN
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_proc AS p
     CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
     WHERE p.oid = %s::pg_catalog.regprocedure AND a.grantee <> p.proowner AND r.rolname <> ALL (ARRAY[%s]::pg_catalog.text[])
  LOOP
    EXECUTE pg_catalog.format(%s, role);
  END LOOP;
END
`, quoteLiteral(call), strings.Join(literals, ", "),
		quoteLiteral("REVOKE ALL ON FUNCTION "+escapeTemplate(call)+" FROM %I CASCADE")))
}

// shortDigest returns 8 hexadecimal digits that tell texts apart. Short names of
// settings are found sooner, and that is paid for each row.
func shortDigest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
