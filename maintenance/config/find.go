package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// ErrNoSet says that no set has the name.
var ErrNoSet = errors.New("no such set")

// noSetError is an [ErrNoSet] that says which sets there are.
type noSetError string

func (e noSetError) Error() string { return string(e) }

func (e noSetError) Is(target error) bool { return target == ErrNoSet }

// Find returns the set of a parent that is called by its full name, such as
// "public.events", or by its table name alone if only one set has it. The error
// lists the sets there are; it is [ErrNoSet] where none has the name.
func (d *Database) Find(name string) (*Set, error) {
	var found []*Set
	for i := range d.Sets {
		set := &d.Sets[i]
		if set.Parent.String() == name {
			return set, nil
		}
		if set.Parent.Local == name {
			found = append(found, set)
		}
	}
	if len(found) == 0 {
		// Perhaps it was written as in SQL, with quotes or capital letters.
		if parsed, err := partition.ParseName(name); err == nil {
			for i := range d.Sets {
				if d.Sets[i].Parent == parsed {
					return &d.Sets[i], nil
				}
			}
		}
		return nil, noSetError(fmt.Sprintf("%s has no set %q: expected one of %s", d.place(), name, setNames(d.pointers())))
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s has several sets %q: expected one of %s", d.place(), name, setNames(found))
	}
	return found[0], nil
}

// place says where the database's sets are, for errors.
func (d *Database) place() string {
	if d.Name == "" {
		return d.file
	}
	return fmt.Sprintf("database %q in %s", d.Name, d.file)
}

func (d *Database) pointers() []*Set {
	all := make([]*Set, len(d.Sets))
	for i := range d.Sets {
		all[i] = &d.Sets[i]
	}
	return all
}

func setNames(sets []*Set) string {
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = fmt.Sprintf("%q", set.Parent.String())
	}
	return strings.Join(names, ", ")
}
