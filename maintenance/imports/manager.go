package imports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// managerFile is the file of postgresql-partition-manager, as far as it is about sets.
type managerFile struct {
	Partitions yaml.Node `yaml:"partitions"`
}

// managerSet is one of its partitions.
type managerSet struct {
	Schema         string `yaml:"schema"`
	Table          string `yaml:"table"`
	PartitionKey   string `yaml:"partitionKey"`
	Interval       string `yaml:"interval"`
	Retention      int    `yaml:"retention"`
	PreProvisioned int    `yaml:"preProvisioned"`
	CleanupPolicy  string `yaml:"cleanupPolicy"`
}

// managerIntervals are its intervals: ours, the unit of its retention, and its names.
var managerIntervals = map[string]struct {
	unit   partition.Unit
	suffix string
}{
	"daily": {partition.Day, "_%Y_%m_%d"}, "weekly": {partition.Week, "_%G_w%V"}, "monthly": {partition.Month, "_%Y_%m"},
	"quarterly": {partition.Quarter, "_%Y_q%q"}, "yearly": {partition.Year, "_%Y"},
}

// Manager reads the sets of postgresql-partition-manager's YAML file. An error names
// the line, the key, its value and what was expected.
func Manager(text []byte) ([]Set, error) {
	var file managerFile
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	node := &file.Partitions
	if node.Kind == 0 {
		return nil, errors.New("partitions: expected a mapping of names to partitions, and there is none")
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: partitions: expected a mapping of names to partitions", node.Line)
	}
	var sets []Set
	for i := 0; i+1 < len(node.Content); i += 2 {
		s, err := managerEntry(node.Content[i].Value, node.Content[i+1])
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return sets, nil
}

// managerKeys are the keys that a partition has.
var managerKeys = []string{"schema", "table", "partitionKey", "interval", "retention", "preProvisioned", "cleanupPolicy"}

func managerEntry(name string, node *yaml.Node) (Set, error) {
	fail := func(key string, value any, want string) (Set, error) {
		return Set{}, fmt.Errorf("line %d: partitions.%s.%s = %q: expected %s", node.Line, name, key, fmt.Sprint(value), want)
	}
	var m managerSet
	if err := node.Decode(&m); err != nil {
		return Set{}, fmt.Errorf("partitions.%s: %w", name, err)
	}
	interval, known := managerIntervals[m.Interval]
	switch {
	case m.Schema == "":
		return fail("schema", m.Schema, "the schema of the table")
	case m.Table == "":
		return fail("table", m.Table, "the table")
	case m.PartitionKey == "":
		return fail("partitionKey", m.PartitionKey, "the column that decides the partition")
	case !known:
		return fail("interval", m.Interval, "one of daily, weekly, monthly, quarterly, yearly")
	case m.Retention <= 0:
		return fail("retention", m.Retention, "a number of partitions above 0")
	case m.PreProvisioned <= 0:
		return fail("preProvisioned", m.PreProvisioned, "a number of partitions above 0")
	case m.CleanupPolicy != "drop" && m.CleanupPolicy != "detach":
		return fail("cleanupPolicy", m.CleanupPolicy, "drop or detach")
	}
	s := Set{Parent: partition.Name{Schema: m.Schema, Local: m.Table}, Key: m.PartitionKey,
		Interval: partition.Interval{N: 1, Unit: interval.unit}.String(), Name: pattern(m.Table) + interval.suffix,
		Keep: partition.Interval{N: m.Retention, Unit: interval.unit}.String(), Then: m.CleanupPolicy, Ahead: m.PreProvisioned}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i].Value; !slices.Contains(managerKeys, key) {
			s.Notes = append(s.Notes, fmt.Sprintf("The key %s of %s means nothing here.", oneLine(key), oneLine(name)))
		}
	}
	return s, nil
}
