package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"
)

func appendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// append appends a field of a tuple: its length and its value, or -1 for NULL.
func (c codec) append(dst []byte, v parquet.Value) ([]byte, error) {
	if v.IsNull() {
		return appendUint32(dst, math.MaxUint32), nil
	}
	if n := lengths[c.kind]; n != 0 {
		dst = appendUint32(dst, uint32(n))
	}
	switch c.kind {
	case kindBool:
		if v.Boolean() {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case kindInt2:
		if v.Int32() != int32(int16(v.Int32())) {
			return dst, fmt.Errorf("%d is no smallint", v.Int32())
		}
		return appendUint16(dst, uint16(v.Int32())), nil
	case kindInt4:
		return appendUint32(dst, uint32(v.Int32())), nil
	case kindInt8:
		return appendUint64(dst, uint64(v.Int64())), nil
	case kindFloat4:
		return appendUint32(dst, math.Float32bits(v.Float())), nil
	case kindFloat8:
		return appendUint64(dst, math.Float64bits(v.Double())), nil
	case kindDate:
		return appendUint32(dst, uint32(v.Int32()-epochDays)), nil
	case kindTimestamp:
		return appendUint64(dst, uint64(v.Int64()-epochMicros)), nil
	case kindUUID:
		return append(dst, v.ByteArray()...), nil
	case kindBytes:
		b := v.ByteArray()
		return append(appendUint32(dst, uint32(len(b))), b...), nil
	case kindJSONB:
		b := v.ByteArray()
		return append(append(appendUint32(dst, uint32(len(b)+1)), 1), b...), nil
	}
	var u uint128
	minus := false
	switch c.kind {
	case kindDecimal128:
		b := v.ByteArray()
		u = uint128{uint64At(b), uint64At(b[8:])}
		if minus = u.hi>>63 == 1; minus {
			u = u.negate()
		}
	default:
		n := v.Int64()
		if c.kind == kindDecimal32 {
			n = int64(v.Int32())
		}
		if minus = n < 0; minus {
			n = -n // -2^63 stays as it is, which is right for what follows.
		}
		u.lo = uint64(n)
	}
	if !u.less(powers[c.precision]) {
		return dst, fmt.Errorf("a decimal has more than %d digits", c.precision)
	}
	start := len(dst)
	dst = appendNumeric(appendUint32(dst, 0), u, minus, c.scale)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst, nil
}
