package partition

// PropertyKind is one row of the table of things that a partition has to have
// because its parent has them. A new kind needs a query that observes it, a
// rule in [propertyRules] and a renderer: no new code path.
type PropertyKind string

// The kinds of properties, in the order in which they are repaired.
const (
	PropOwner           PropertyKind = "owner"
	PropGrant           PropertyKind = "grant"
	PropColumnGrant     PropertyKind = "column grant"
	PropOption          PropertyKind = "storage option"
	PropTablespace      PropertyKind = "tablespace"
	PropDefault         PropertyKind = "default"
	PropNotNull         PropertyKind = "not null"
	PropCheck           PropertyKind = "check"
	PropIndex           PropertyKind = "index"
	PropReplicaIdentity PropertyKind = "replica identity"
	PropRowSecurity     PropertyKind = "row security"
	PropPolicy          PropertyKind = "policy"
	PropComment         PropertyKind = "comment"
	PropColumnComment   PropertyKind = "column comment"
	PropColumnStorage   PropertyKind = "column storage"
	PropPublication     PropertyKind = "publication"
)

// Property is one thing that a table has. Kind and Name identify it on a table,
// Value says what it is; two tables agree on it where the values are equal.
// What Name and Value hold depends on the kind:
//
//	owner             Name empty, Value the role
//	grant             Name "role\tprivilege", Value "" or "with grant option"
//	                  (role "" is PUBLIC); see [Grant] and [SplitGrant]
//	column grant      Name "column\trole\tprivilege", Value as for grant
//	storage option    Name the option, Value its value
//	tablespace        Name empty, Value the tablespace where it is not the
//	                  database's own
//	default           Name the column, Value the expression
//	not null          Name the column, Value empty
//	check             Name the constraint, Value its definition
//	index             Name the definition without name and table, such as
//	                  "USING btree (a)", prefixed by "UNIQUE " where it is;
//	                  Value "", "unique constraint" or "primary key", with
//	                  " deferrable" behind where it is; for an exclusion
//	                  constraint, or a key WITHOUT OVERLAPS, Name its
//	                  definition, Value "exclude"
//	replica identity  Name empty, Value "default", "full", "nothing" or
//	                  "index " and that index's Name
//	row security      Name empty, Value "off", "on" or "forced"
//	policy            Name the policy, Value the rest of CREATE POLICY
//	comment           Name empty, Value the comment
//	column comment    Name the column, Value the comment
//	column storage    Name the column, Value "PLAIN", "EXTERNAL", ...
//	publication       Name the publication, Value the columns and row filter
//	                  as ALTER PUBLICATION ... ADD TABLE takes them
type Property struct {
	Kind  PropertyKind
	Name  string
	Value string
}

// exclusion is the Value of an exclusion constraint, and of what is built as one.
const exclusion = "exclude"

// Change is one difference between a parent's property and a partition's.
type Change struct {
	Want Property
	// Have is the partition's value, and Missing says that it has none.
	Have    string
	Missing bool
	// Remove says that the partition has what the parent has not.
	Remove bool
}
