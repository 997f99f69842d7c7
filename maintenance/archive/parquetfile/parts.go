package parquetfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// parts writes row groups to one part after the other.
type parts struct {
	plan    Plan
	codecs  []codec
	options Options
	key     int // the key's column, or -1

	// file is for all parts, since a row group that is being encoded belongs to
	// it; it is reset with every part.
	file *parquet.GenericWriter[any]
	sink sink
	open bool
	part Part
	keys span
}

func (p *parts) init(plan Plan, codecs []codec, o Options, key int) error {
	*p = parts{plan: plan, codecs: codecs, options: o, key: key}
	options, err := fileOptions(plan, codecs, o)
	if err != nil {
		return err
	}
	// NewGenericWriter would panic.
	if _, err := parquet.NewWriterConfig(options...); err != nil {
		return err
	}
	p.file = parquet.NewGenericWriter[any](&p.sink, options...)
	return nil
}

// add writes a row group that has been encoded.
func (p *parts) add(b *batch) error {
	if !p.open {
		if err := p.begin(); err != nil {
			return err
		}
	}
	rows, err := b.group.Commit()
	if err != nil {
		return fmt.Errorf("writing a row group to part %d: %w", p.part.Number, err)
	}
	if rows != b.digest.Rows {
		return fmt.Errorf("a row group of part %d has %d rows, not %d", p.part.Number, rows, b.digest.Rows)
	}
	p.part.RowGroups++
	p.part.Digest.Add(b.digest)
	p.keys.join(b.keys)
	if p.sink.length >= p.options.PartBytes || (p.part.RowGroups+1)*len(p.plan) > maxChunks {
		return p.finish()
	}
	return nil
}

// close finishes the last part. A table without rows has a part, too.
func (p *parts) close() error {
	if p.part.Number == 0 {
		if err := p.begin(); err != nil {
			return err
		}
	}
	if !p.open {
		return nil
	}
	return p.finish()
}

func (p *parts) begin() error {
	p.part = Part{Number: p.part.Number + 1}
	p.keys = span{}
	out, err := p.options.Next(p.part.Number)
	if err != nil {
		return fmt.Errorf("beginning part %d: %w", p.part.Number, err)
	}
	p.sink.reset(out)
	p.file.Reset(&p.sink)
	p.open = true
	return nil
}

// finish writes the footer. parquet-go also writes an index of the bounds of each
// page, for all columns, also for those without bounds: they would be empty
// strings, and a reader that believed them would skip pages that it needs. In row
// groups as small as ours there are few pages to skip, so no column has an index.
func (p *parts) finish() error {
	p.open = false
	var end bytes.Buffer
	p.sink.divert = &end
	err := p.file.Close()
	p.sink.divert = nil
	if err == nil {
		err = p.end(end.Bytes())
	}
	if err == nil {
		err = p.sink.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("finishing part %d: %w", p.part.Number, err)
	}
	p.part.Bytes = p.sink.length
	if p.key >= 0 {
		p.part.Key = p.keys.text(p.plan[p.key])
	}
	if err := p.options.Done(p.part); err != nil {
		return fmt.Errorf("after part %d: %w", p.part.Number, err)
	}
	return nil
}

// footerTail is the footer's length and the magic bytes, behind it.
const footerTail = 8

// end writes the footer, given what parquet-go writes behind the row groups.
func (p *parts) end(b []byte) error {
	tail := max(len(b)-footerTail, 0)
	start := tail
	if tail > 0 {
		start -= int(binary.LittleEndian.Uint32(b[tail:]))
	}
	var meta format.FileMetaData
	if start < 0 || tail == 0 {
		return errors.New("the file has no footer")
	}
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), b[start:tail], &meta); err != nil {
		return fmt.Errorf("reading the footer: %w", err)
	}
	for g := range meta.RowGroups {
		for i := range meta.RowGroups[g].Columns {
			c := &meta.RowGroups[g].Columns[i]
			c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0
			c.OffsetIndexOffset, c.OffsetIndexLength = 0, 0
		}
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
	if err != nil {
		return fmt.Errorf("writing the footer: %w", err)
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	footer = append(footer, magic...)
	if p.sink.length == 0 { // Without row groups nothing has begun the file yet.
		footer = append([]byte(magic), footer...)
	}
	_, err = p.sink.Write(footer)
	return err
}

// sink counts what goes to a file, and can divert it.
type sink struct {
	out    *bufio.Writer
	length int64
	divert *bytes.Buffer
}

func (s *sink) reset(w io.Writer) {
	if s.out == nil {
		s.out = bufio.NewWriterSize(w, 256<<10)
	}
	s.out.Reset(w)
	s.length = 0
}

// Write implements [io.Writer].
func (s *sink) Write(b []byte) (int, error) {
	if s.divert != nil {
		return s.divert.Write(b)
	}
	n, err := s.out.Write(b)
	s.length += int64(n)
	return n, err
}
