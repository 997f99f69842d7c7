package parquetfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	pqzstd "github.com/parquet-go/parquet-go/compress/zstd"
)

// Options says how parts are written. Of the fields that are zero, all but Next
// and Done have a default.
type Options struct {
	// Level is that of zstd's command line, 1 by default: archives are written
	// while a server waits, and level 3 takes a third longer for 6 % less.
	Level int
	// RowGroupBytes is how long a row group is in COPY's format, 8 MiB by default and
	// 64 MiB at most. A row group has a row at least.
	RowGroupBytes int
	// PartBytes is the length from which a part is whole, 256 MiB by default. The
	// footer grows with the part, and is in memory until the end.
	PartBytes int64
	// Encoders is how many row groups are encoded at the same time, 2 by default
	// and 8 at most. Each takes memory for about three row groups.
	Encoders int
	// Key names the column whose least and greatest value [Part] shall tell. That is
	// possible for integers, dates and timestamps that are not as text.
	Key string
	// Next begins the file of the part with the number n, from 1 on.
	Next func(n int) (io.Writer, error)
	// Done is told of each part that has been written to its file, before the next
	// begins. It is the caller who closes files, and removes those of parts that were
	// begun when the writer fails. Next, Done and the file are not used by two
	// goroutines at once, but not by that which calls Write either.
	Done func(Part) error
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	for _, d := range []struct {
		name                  string
		value                 *int
		least, most, standard int
	}{
		{"Level", &o.Level, 1, 22, 1},
		{"RowGroupBytes", &o.RowGroupBytes, 1, 64 << 20, 8 << 20},
		{"Encoders", &o.Encoders, 1, 8, 2},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		if *d.value < d.least || *d.value > d.most {
			return fmt.Errorf("the option %s is %d: it can be %d to %d", d.name, *d.value, d.least, d.most)
		}
	}
	if o.PartBytes == 0 {
		o.PartBytes = 256 << 20
	}
	if o.PartBytes < 1 {
		return fmt.Errorf("the option PartBytes is %d", o.PartBytes)
	}
	if o.Next == nil || o.Done == nil {
		return errors.New("the options Next and Done are needed")
	}
	return nil
}

// fileOptions are those of the parquet package.
func fileOptions(plan Plan, codecs []codec, o Options) ([]parquet.WriterOption, error) {
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("describing the columns: %w", err)
	}
	options := []parquet.WriterOption{
		plan.schema(codecs),
		parquet.Compression(&compressor{pqzstd.Codec{Level: zstd.EncoderLevelFromZstd(o.Level)}}),
		// It is the encoder that ends pages.
		parquet.PageBufferSize(1 << 30),
		// Then nothing is left between row groups and footer, see [parts.finish].
		parquet.WriteBufferSize(0),
		// These would have the least and the greatest value of a page in its header,
		// each twice, however long they are.
		parquet.DataPageStatistics(false),
		parquet.KeyValueMetadata(PlanMetadata, string(text)),
		parquet.CreatedBy("partitiond", "", ""),
	}
	for i, c := range plan {
		if !codecs[i].bounded() {
			options = append(options, parquet.SkipPageBounds(c.Name))
		}
	}
	return options, nil
}

// compressor is the codec of the parquet package, but for large values it does
// not let the memory for what it writes grow step by step.
type compressor struct{ pqzstd.Codec }

// Encode implements [compress.Codec].
func (c *compressor) Encode(dst, src []byte) ([]byte, error) {
	if len(src) > 2*pageBytes && cap(dst) < len(src) {
		dst = make([]byte, 0, len(src))
	}
	return c.Codec.Encode(dst, src)
}
