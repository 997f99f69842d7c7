package parquetfile

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/parquet-go/parquet-go"
)

// Form names a type of Parquet, with what it is annotated with.
type Form string

// The forms but for "decimal(precision,scale)".
const (
	Boolean     Form = "boolean"
	Int16       Form = "int16"
	Int32       Form = "int32"
	Int64       Form = "int64"
	Float       Form = "float"
	Double      Form = "double"
	String      Form = "string"
	Binary      Form = "binary"
	Date        Form = "date"
	Timestamp   Form = "timestamp(us)"
	TimestampTZ Form = "timestamp(us,utc)"
	UUID        Form = "uuid"
	JSON        Form = "json"
)

// forms is the form of each type that has one whatever its modifier is.
var forms = map[uint32]Form{
	pgtype.BoolOID: Boolean,
	pgtype.Int2OID: Int16, pgtype.Int4OID: Int32, pgtype.Int8OID: Int64,
	pgtype.Float4OID: Float, pgtype.Float8OID: Double,
	pgtype.TextOID: String, pgtype.VarcharOID: String, pgtype.BPCharOID: String, pgtype.NameOID: String,
	pgtype.ByteaOID: Binary,
	pgtype.DateOID:  Date, pgtype.TimestampOID: Timestamp, pgtype.TimestamptzOID: TimestampTZ,
	pgtype.UUIDOID: UUID,
	pgtype.JSONOID: JSON, pgtype.JSONBOID: JSON,
}

// maxPrecision is how many digits a DECIMAL of 16 bytes holds in any case, and
// what readers of Parquet go up to.
const maxPrecision = 38

// formOf returns the form of a type that is no domain, and whether its values
// have to become text.
func formOf(base uint32, typmod int32) (form Form, asText bool) {
	if f, ok := forms[base]; ok {
		return f, false
	}
	if base == pgtype.NumericOID {
		if precision, scale, ok := decimal(typmod); ok {
			return Form(fmt.Sprintf("decimal(%d,%d)", precision, scale)), false
		}
	}
	return String, true
}

// decimal returns the DECIMAL for a numeric. In PostgreSQL since release 15 a
// scale may be negative, or more than the precision (PostgreSQL documentation,
// 8.1.2 Arbitrary Precision Numbers); in Parquet neither.
func decimal(typmod int32) (precision, scale int, ok bool) {
	if typmod < 4 {
		return 0, 0, false
	}
	typmod -= 4
	precision = int(typmod>>16) & 0xffff
	scale = int(typmod&0x7ff) ^ 1024 - 1024 // eleven bits in two's complement
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	precision = max(precision, scale)
	return precision, scale, precision <= maxPrecision
}

// kind is how a value is encoded on both sides.
type kind uint8

const (
	kindBool kind = iota
	kindInt2
	kindInt4
	kindInt8
	kindFloat4
	kindFloat8
	kindDate
	kindTimestamp
	kindDecimal32
	kindDecimal64
	kindDecimal128
	kindUUID
	kindBytes
	kindJSONB
)

// codec is what the values of a column need to be encoded and decoded.
type codec struct {
	kind             kind
	precision, scale int // of a decimal
	node             parquet.Node
	// text says that the bytes have to be characters.
	text bool
}

// bounded tells whether the least and the greatest value are noted. Not those of
// strings, which could be as long as a value and would be in the footer; those of
// floats, because of NaN and -0; nor those of 16 bytes, since parquet-go
// compares them without their sign.
func (c codec) bounded() bool {
	switch c.kind {
	case kindFloat4, kindFloat8, kindDecimal128, kindUUID, kindBytes, kindJSONB:
		return false
	}
	return true
}

// codec decides how the column is encoded.
func (c Column) codec() (codec, error) {
	form, asText := formOf(c.Base, c.Typmod)
	if c.AsText || asText {
		form = String
	}
	if (form == String || form == JSON) && c.Parquet == Binary {
		form = Binary
	}
	if form != c.Parquet || asText && !c.AsText {
		return codec{}, fmt.Errorf("the column %q of type %s (OID %d, modifier %d) cannot be %s in Parquet (as text: %t)",
			c.Name, c.Type, c.Base, c.Typmod, c.Parquet, c.AsText)
	}
	k := codec{}
	switch form {
	case Boolean:
		k.kind, k.node = kindBool, parquet.Leaf(parquet.BooleanType)
	case Int16:
		k.kind, k.node = kindInt2, delta(parquet.Int(16))
	case Int32:
		k.kind, k.node = kindInt4, delta(parquet.Int(32))
	case Int64:
		k.kind, k.node = kindInt8, delta(parquet.Int(64))
	case Float:
		k.kind, k.node = kindFloat4, parquet.Leaf(parquet.FloatType)
	case Double:
		k.kind, k.node = kindFloat8, parquet.Leaf(parquet.DoubleType)
	case Date:
		k.kind, k.node = kindDate, delta(parquet.Date())
	case Timestamp, TimestampTZ:
		k.kind, k.node = kindTimestamp, delta(parquet.TimestampAdjusted(parquet.Microsecond, form == TimestampTZ))
	case UUID:
		k.kind, k.node = kindUUID, parquet.UUID()
	case String:
		k.kind, k.node, k.text = kindBytes, long(parquet.String()), true
	case JSON:
		k.kind, k.node, k.text = kindBytes, long(parquet.JSON()), true
	case Binary:
		k.kind, k.node = kindBytes, long(parquet.Leaf(parquet.ByteArrayType))
	default:
		k.precision, k.scale, _ = decimal(c.Typmod)
		switch {
		case k.precision <= 9:
			k.kind, k.node = kindDecimal32, delta(parquet.Decimal(k.scale, k.precision, parquet.Int32Type))
		case k.precision <= 18:
			k.kind, k.node = kindDecimal64, delta(parquet.Decimal(k.scale, k.precision, parquet.Int64Type))
		default:
			k.kind, k.node = kindDecimal128, parquet.Decimal(k.scale, k.precision, parquet.FixedLenByteArrayType(16))
		}
	}
	if c.Base == pgtype.JSONBOID && !c.AsText {
		k.kind = kindJSONB
	}
	// Also where the column is NOT NULL: since PostgreSQL 18 such a constraint need
	// not hold for the rows that were there before it. And for required columns
	// parquet-go allocates whole pages, for each of maybe 1,600.
	k.node = parquet.Optional(k.node)
	return k, nil
}

// delta and long choose the encodings that were found fastest and smallest.
func delta(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.DeltaBinaryPacked) }
func long(n parquet.Node) parquet.Node  { return parquet.Encoded(n, &parquet.DeltaLengthByteArray) }

// codecs returns those of all columns.
func (p Plan) codecs() ([]codec, error) {
	all := make([]codec, len(p))
	for i, c := range p {
		var err error
		if all[i], err = c.codec(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
