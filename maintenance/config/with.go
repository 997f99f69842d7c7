package config

import "fmt"

// LoadWith does what [Load] does for the file at path with more text behind it, such as
// one more set that is only meant for the present command.
func LoadWith(path, more string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(path, append(append(text, '\n'), more...))
	if err != nil {
		return nil, err
	}
	if _, err := c.Database.ConnConfig(); err != nil {
		return nil, err
	}
	return c, nil
}
