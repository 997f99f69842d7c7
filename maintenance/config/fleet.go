package config

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// databasePlaceholder stands for a database's name in the URL of an archive.
const databasePlaceholder = "{database}"

// databaseName is what a database may be called: it becomes a label of metrics and
// a part of URLs, and names are listed with commas between them.
var databaseName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

var (
	oneDatabase  = regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*database[ \t]*\]`)
	manyDatabase = regexp.MustCompile(`(?m)^[ \t]*\[\[[ \t]*database[ \t]*\]\]`)
)

// databaseTwice says what is wrong where the TOML library complains of a second
// [database]; it is empty where that is not what it complains of.
func databaseTwice(text, message string) string {
	switch {
	case !strings.Contains(message, "Key 'database' "):
		return ""
	case manyDatabase.MatchString(text):
		return "[database] stands beside [[database]]: expected either one [database], or [[database]] for each of several"
	case len(oneDatabase.FindAllString(text, 2)) == 2:
		return "[database] is there twice: expected it once, or [[database]] in double brackets for each of several"
	}
	return ""
}

// placed is a set and its path in the file.
type placed struct {
	Set
	path string
}

// sets reads the sets in the array at path.
func (r *reader) sets(path string, keys []setKeys, schedule Schedule, limits partition.Limits) []placed {
	var out []placed
	for i, k := range keys {
		at := element(path, i)
		if out = append(out, placed{r.readSet(at, k, schedule, limits), at}); r.err != nil {
			return nil
		}
	}
	r.set = ""
	return out
}

// plain takes the paths away.
func plain(sets []placed) []Set {
	out := make([]Set, len(sets))
	for i, s := range sets {
		out[i] = s.Set
	}
	return out
}

// single makes the one database that has all sets.
func (r *reader) single(d Database, shared []placed) []Database {
	if len(shared) == 0 {
		r.report("", 0, "", "no [[set]]: expected at least one, with the keys parent and key")
	}
	r.apart(shared)
	for _, s := range shared {
		if r.set = s.Parent.String(); strings.Contains(s.Retention.Archive, databasePlaceholder) {
			r.fail(s.path+".retention.archive", "has "+databasePlaceholder+" in it: expected that with [[database]] only, whose name it stands for")
		}
	}
	d.Sets = plain(shared)
	return []Database{d}
}

// fleet makes several databases. Each has the sets that are shared, unless it
// says that it does not want them or has one of that parent itself, and its own.
func (r *reader) fleet(keys []memberKeys, shared []placed, schedule Schedule, limits partition.Limits) []Database {
	if len(keys) == 0 {
		r.fail("database", "expected [[database]] for each of several, or one [database]")
	}
	line := func(i int) int {
		at, _ := r.places.find(element("database", i))
		return at.line
	}
	names, urls, archives := map[string]int{}, map[string]int{}, map[string]int{}
	var out []Database
	for i, k := range keys {
		here := element("database", i)
		r.database, r.set = "", ""
		d := r.member(here, k)
		if first, taken := names[d.Name]; taken && r.err == nil {
			r.fail(here+".name", fmt.Sprintf("is the name of the database in line %d, too: expected another one", line(first)))
		}
		if r.database = d.Name; r.err != nil {
			return nil
		}
		if first, taken := urls[*k.URL]; taken {
			r.fail(here+".url", fmt.Sprintf("is that of the database %q in line %d, too: expected another database's", out[first].Name, line(first)))
		}
		names[d.Name], urls[*k.URL] = i, i
		sets := r.memberSets(r.sets(here+".set", k.Sets, schedule, limits), shared, or(k.SharedSets, true))
		if r.set = ""; len(sets) == 0 {
			r.failKey(here+".set", "no set: expected [[database.set]] below it, or [[set]] for all databases, with the keys parent and key")
		}
		r.apart(sets)
		for n, s := range sets {
			if s.Retention.Archive == "" || r.err != nil {
				continue
			}
			sets[n].Retention.Archive = strings.ReplaceAll(s.Retention.Archive, databasePlaceholder, d.Name)
			store := archiveStore(sets[n].Retention.Archive)
			if first, taken := archives[store]; taken && first != i {
				r.set = s.Parent.String()
				r.fail(s.path+".retention.archive", fmt.Sprintf("is where the database %q archives to, too: expected %s in it, which stands for the name of each", out[first].Name, databasePlaceholder))
			}
			archives[store] = i
		}
		if r.err != nil {
			return nil
		}
		d.Sets = plain(sets)
		out = append(out, d)
	}
	return out
}

// member reads how to connect to one of several databases.
func (r *reader) member(here string, k memberKeys) Database {
	switch {
	case r.err != nil:
		return Database{}
	case k.Name == nil:
		r.failKey(here+".name", `is missing: expected what to call the database, such as "shard_01"`)
	case !databaseName.MatchString(*k.Name):
		r.fail(here+".name", "expected up to 63 letters, digits, dots, hyphens and underscores, the first a letter or a digit")
	case k.URL == nil:
		r.database = *k.Name
		r.failKey(here+".url", `is missing: expected a connection string such as "postgres://user@host:5432/database"`)
	}
	if r.err != nil {
		return Database{}
	}
	r.database = *k.Name
	d := r.connection(here, databaseKeys{URL: k.URL, PasswordFile: k.PasswordFile, ConnectTimeout: k.ConnectTimeout})
	d.Name = *k.Name
	return d
}

// memberSets puts the shared sets before a database's own.
func (r *reader) memberSets(own, shared []placed, wanted bool) []placed {
	parents := map[partition.Name]bool{}
	for _, s := range own {
		parents[s.Parent] = true
	}
	var out []placed
	for _, s := range shared {
		if wanted && !parents[s.Parent] {
			out = append(out, s)
		}
	}
	return append(out, own...)
}

// archiveStore tells the URLs of different stores apart, however they are written.
func archiveStore(text string) string {
	u, err := partition.ParseArchive(text)
	if err != nil {
		return text // It has been refused already.
	}
	host := u.Host
	if u.Scheme == "file" {
		host = "" // This machine, however it is called.
	}
	return u.Scheme + "://" + host + "/" + strings.Trim(path.Clean(u.Path), "/")
}

// Database returns the database of that name. The error lists those there are.
func (c *Config) Database(name string) (*Database, error) {
	var names []string
	for i := range c.Databases {
		if c.Databases[i].Name == name {
			return &c.Databases[i], nil
		}
		names = append(names, c.Databases[i].Name)
	}
	if !c.Fleet() {
		return nil, fmt.Errorf("%s has only the one [database], which has no name: expected [[database]] with name = %q", c.Path, name)
	}
	return nil, fmt.Errorf("%s has no database %q: expected one of %s", c.Path, name, quotedList(names))
}

// Fleet tells whether the databases have names, as those of [[database]] do.
func (c *Config) Fleet() bool { return c.Databases[0].Name != "" }
