package archive

import (
	"bytes"
	"errors"
)

// records takes CSV apart, as COPY writes it: each record ends in a newline
// outside of quotes, and a quote within a quoted value is doubled, so that quotes
// only have to be counted (PostgreSQL documentation, COPY, "CSV Format"). A table of
// one column has empty lines for NULL; they count, where encoding/csv would skip them.
type records struct {
	// each gets a record with its newline, behind two zero bytes: with those a
	// record is at least as long as a tuple of COPY's binary format, whose digest it
	// shares. It may use the memory until it returns.
	each   func(record []byte) error
	record []byte
	quoted bool
}

func (r *records) write(p []byte) error {
	for len(p) > 0 {
		if len(r.record) == 0 {
			r.record = append(r.record, 0, 0)
		}
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end+1]
		}
		if bytes.Count(line, []byte{'"'})%2 != 0 {
			r.quoted = !r.quoted
		}
		r.record = append(r.record, line...)
		p = p[len(line):]
		if end < 0 || r.quoted {
			continue
		}
		err := r.each(r.record)
		r.record = r.record[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// finish returns an error if the stream ends within a record.
func (r *records) finish() error {
	if len(r.record) > 0 {
		return errors.New("the CSV ends within a record")
	}
	return nil
}
