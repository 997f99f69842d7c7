package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// place is where a key stands in the text.
type place struct {
	// line counts from 1.
	line int
	// raw is the value's text, empty for a table with a header of its own.
	raw string
}

// places maps the path of every key to where it first stands. A path joins the
// parts of a key with dots, those quoted that TOML quotes, and counts the
// elements of arrays: set[0].retention.keep.
//
// The TOML library knows positions, but it forgets all but the last element of
// an array of tables and gives none away except those of syntax errors. Hence
// this scanner. It runs on text that the library has accepted, so it only has
// to find its way, not to judge; on other text it finds less, and no more.
type places map[string]place

// find returns the place of path or else that of the nearest table around it.
func (p places) find(path string) (at place, exact bool) {
	if at, ok := p[path]; ok {
		return at, true
	}
	for path != "" {
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
		if at, ok := p[path]; ok {
			return at, false
		}
	}
	return place{}, false
}

// join adds one part of a key to a path.
func join(path, part string) string {
	part = toml.Key{part}.String()
	if path == "" {
		return part
	}
	return path + "." + part
}

// element returns the path of an array's i-th element.
func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

type scanner struct {
	text  string
	pos   int
	found places
	// tables counts the [[headers]] seen for a path.
	tables map[string]int
	// line and counted make the line number of a position without counting
	// the whole text again.
	line, counted int
}

// locate finds all keys of a TOML text.
func locate(text string) places {
	s := &scanner{text: strings.TrimPrefix(text, "\xef\xbb\xbf"), found: places{}, tables: map[string]int{}, line: 1}
	base := ""
	for {
		s.skip(" \t\r\n")
		start := s.pos
		switch {
		case s.pos >= len(s.text):
			return s.found
		case s.take("[["):
			base = s.header(s.keyParts(), true, start)
			s.take("]]")
		case s.take("["):
			base = s.header(s.keyParts(), false, start)
			s.take("]")
		default:
			s.pair(base)
		}
		if s.pos == start {
			s.pos++ // Not TOML; go on all the same.
		}
	}
}

// skip passes over the given characters and, since none of them can be part of
// a value, over comments.
func (s *scanner) skip(chars string) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case strings.IndexByte(chars, c) >= 0:
			s.pos++
		case c == '#':
			end := strings.IndexByte(s.text[s.pos:], '\n')
			if end < 0 {
				end = len(s.text) - s.pos
			}
			s.pos += end
		default:
			return
		}
	}
}

// take passes over a token if it is next.
func (s *scanner) take(token string) bool {
	if !strings.HasPrefix(s.text[s.pos:], token) {
		return false
	}
	s.pos += len(token)
	return true
}

// record notes a path's first place and tells whether this is it. Starts never
// decrease from call to call.
func (s *scanner) record(path string, start int) bool {
	s.line += strings.Count(s.text[s.counted:start], "\n")
	s.counted = start
	if _, ok := s.found[path]; ok {
		return false
	}
	s.found[path] = place{line: s.line}
	return true
}

// recordValue notes path with the value that comes next, and passes over it.
func (s *scanner) recordValue(path string, start int) {
	first, from := s.record(path, start), s.pos
	s.value(path)
	if at := s.found[path]; first {
		at.raw = strings.TrimSpace(s.text[from:s.pos])
		s.found[path] = at
	}
}

// inside returns the path that the parts lead to from base. Tables on the way
// are recorded; of an array of tables the last element is meant.
func (s *scanner) inside(base string, parts []string, start int) string {
	for _, part := range parts {
		base = join(base, part)
		s.record(base, start)
		if n := s.tables[base]; n > 0 {
			base = element(base, n-1)
		}
	}
	return base
}

// header enters the table that [parts] or [[parts]] names.
func (s *scanner) header(parts []string, array bool, start int) string {
	if !array || len(parts) == 0 {
		return s.inside("", parts, start)
	}
	path := join(s.inside("", parts[:len(parts)-1], start), parts[len(parts)-1])
	s.record(path, start)
	n := s.tables[path]
	s.tables[path]++
	s.record(element(path, n), start)
	return element(path, n)
}

// pair reads key = value.
func (s *scanner) pair(base string) {
	start := s.pos
	parts := s.keyParts()
	if len(parts) == 0 || !s.take("=") {
		return
	}
	last := len(parts) - 1
	path := join(s.inside(base, parts[:last], start), parts[last])
	s.skip(" \t")
	s.recordValue(path, start)
}

// keyParts reads a key such as a."b c".d and the blanks after it.
func (s *scanner) keyParts() []string {
	var parts []string
	for {
		s.skip(" \t")
		start := s.pos
		if s.pos < len(s.text) && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
			s.quoted()
			var key struct{ X string }
			if _, err := toml.Decode("X = "+s.text[start:s.pos], &key); err != nil {
				return nil
			}
			parts = append(parts, key.X)
		} else {
			for s.pos < len(s.text) && strings.IndexByte(" \t\r\n.=[]{},#\"'", s.text[s.pos]) < 0 {
				s.pos++
			}
			if s.pos == start {
				return nil
			}
			parts = append(parts, s.text[start:s.pos])
		}
		s.skip(" \t")
		if !s.take(".") {
			return parts
		}
	}
}

// value passes over the value of path and records what it holds.
func (s *scanner) value(path string) {
	if s.pos >= len(s.text) {
		return
	}
	switch s.text[s.pos] {
	case '"', '\'':
		s.quoted()
	case '[':
		s.pos++
		for i := 0; ; i++ {
			s.skip(" \t\r\n,")
			if s.pos >= len(s.text) || s.take("]") {
				return
			}
			start := s.pos
			if s.recordValue(element(path, i), start); s.pos == start {
				return
			}
		}
	case '{':
		s.pos++
		for {
			s.skip(" \t\r\n,")
			start := s.pos
			if s.pos >= len(s.text) || s.take("}") {
				return
			}
			if s.pair(path); s.pos == start {
				return
			}
		}
	default:
		// A date may have a blank in it, so only these end a bare value.
		if end := strings.IndexAny(s.text[s.pos:], ",]}#\r\n"); end >= 0 {
			s.pos += end
		} else {
			s.pos = len(s.text)
		}
	}
}

// quoted passes over a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.pos : s.pos+1]
	long := strings.Repeat(quote, 3)
	if !s.take(long) {
		s.take(quote)
		long = quote
	}
	for s.pos < len(s.text) {
		switch {
		case quote == `"` && s.text[s.pos] == '\\':
			s.pos = min(s.pos+2, len(s.text))
		case s.take(long):
			// Up to two more quotes may belong to the end of a long string.
			for len(long) == 3 && s.take(quote) {
			}
			return
		case len(long) == 1 && s.text[s.pos] == '\n':
			return
		default:
			s.pos++
		}
	}
}
