package parquetfile

import (
	"encoding/binary"
	"math/bits"
)

// A numeric in binary is, each in two bytes: the number of digits in base 10,000,
// the weight of the first, the sign, the number of decimal digits to print after
// the point, and the digits. The format is that of numeric_send in PostgreSQL's
// src/backend/utils/adt/numeric.c; the documentation does not have it.
const (
	numericHeader = 8
	numericMinus  = 0x4000
	numericPlus   = 0x0000
)

// uint128 is a number below 2^128.
type uint128 struct{ hi, lo uint64 }

// mulAdd returns u*m+a, if that is not too large.
func (u uint128) mulAdd(m, a uint64) (uint128, bool) {
	over, hi := bits.Mul64(u.hi, m)
	carryHi, lo := bits.Mul64(u.lo, m)
	lo, c := bits.Add64(lo, a, 0)
	hi, c2 := bits.Add64(hi, carryHi, c)
	return uint128{hi, lo}, over == 0 && c2 == 0
}

// divMod divides by a small number.
func (u uint128) divMod(m uint64) (uint128, uint64) {
	hi, rest := bits.Div64(0, u.hi, m)
	lo, rest := bits.Div64(rest, u.lo, m)
	return uint128{hi, lo}, rest
}

// less compares two numbers.
func (u uint128) less(o uint128) bool { return u.hi < o.hi || u.hi == o.hi && u.lo < o.lo }

// negate returns 2^128-u.
func (u uint128) negate() uint128 {
	lo, borrow := bits.Sub64(0, u.lo, 0)
	hi, _ := bits.Sub64(0, u.hi, borrow)
	return uint128{hi, lo}
}

// powers are those of ten, up to 10^38.
var powers = func() (p [maxPrecision + 1]uint128) {
	p[0] = uint128{lo: 1}
	for i := range maxPrecision {
		p[i+1], _ = p[i].mulAdd(10, 0)
	}
	return p
}()

// parseNumeric returns a numeric in units of 10^-scale. It is not ok if that is
// not possible, or would lose how it is written: then appendNumeric would not
// make the same bytes again. Of the values of a column with precision and scale,
// only NaN is such one.
func parseNumeric(b []byte, precision, scale int) (u uint128, minus, ok bool) {
	n := int(int16At(b))
	weight := int(int16At(b[2:]))
	sign, dscale := binary.BigEndian.Uint16(b[4:]), int(int16At(b[6:]))
	b = b[numericHeader:]
	if n < 0 || len(b) != 2*n || dscale != scale || sign != numericPlus && sign != numericMinus {
		return u, false, false
	}
	if n == 0 {
		return u, false, weight == 0 && sign == numericPlus
	}
	ok = weight <= 2*maxPrecision
	for i := range n {
		digit := uint64(binary.BigEndian.Uint16(b[2*i:]))
		// How far to the left of the last place of the scale the digit ends.
		place := 4*(weight-i) + scale
		switch {
		case !ok, digit > 9999, digit == 0 && (i == 0 || i == n-1), place < -3:
			return u, false, false
		case place < 0:
			cut := powers[-place].lo
			u, ok = u.mulAdd(10_000/cut, digit/cut)
			ok = ok && digit%cut == 0 && i == n-1
		default:
			u, ok = u.mulAdd(10_000, digit)
			for ; ok && i == n-1 && place > 0; place-- {
				u, ok = u.mulAdd(10, 0)
			}
		}
	}
	return u, sign == numericMinus, ok && u.less(powers[precision])
}

// appendNumeric appends a numeric of units of 10^-scale.
func appendNumeric(dst []byte, u uint128, minus bool, scale int) []byte {
	var digits [12]uint16 // the last first; 39 decimal digits, each end in a digit of its own
	n, weight := 0, -(scale+3)/4
	if part := scale % 4; part > 0 {
		var rest uint64
		u, rest = u.divMod(powers[part].lo)
		digits[0], n = uint16(rest*powers[4-part].lo), 1
	}
	for ; u != (uint128{}); n++ {
		var rest uint64
		u, rest = u.divMod(10_000)
		digits[n] = uint16(rest)
	}
	first := 0
	for first < n && digits[first] == 0 {
		first++
	}
	for n > first && digits[n-1] == 0 {
		n--
	}
	weight += n - 1
	if n == first {
		n, first, weight, minus = 0, 0, 0, false
	}
	sign := uint16(numericPlus)
	if minus {
		sign = numericMinus
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(n-first))
	dst = binary.BigEndian.AppendUint16(dst, uint16(weight))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	for n--; n >= first; n-- {
		dst = binary.BigEndian.AppendUint16(dst, digits[n])
	}
	return dst
}

func int16At(b []byte) int16   { return int16(binary.BigEndian.Uint16(b)) }
func int32At(b []byte) int32   { return int32(binary.BigEndian.Uint32(b)) }
func int64At(b []byte) int64   { return int64(binary.BigEndian.Uint64(b)) }
func uint64At(b []byte) uint64 { return binary.BigEndian.Uint64(b) }
