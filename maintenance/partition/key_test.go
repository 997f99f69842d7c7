package partition

import (
	"testing"
	"time"
)

// TestCodedKeys: what stands for a time is read as that time again.
func TestCodedKeys(t *testing.T) {
	t.Parallel()
	at := func(text string) Edge { return At(utc(t, text)) }
	for _, test := range []struct {
		key  KeyType
		edge Edge
		text string
	}{
		{KeySeconds, at("2018-11-01 00:00"), "1541030400"},
		{KeySeconds, at("1969-12-31 23:59:59"), "-1"},
		{KeyMilliseconds, at("2018-11-01 00:00"), "1541030400000"},
		{KeyMicroseconds, at("2018-11-01 00:00:00.000001"), "1541030400000001"},
		{KeyMicroseconds, at("1969-12-31 23:59:59.999999"), "-1"},
		{KeyMicroseconds, at("9999-12-31 00:00"), "253402214400000000"},
		{KeySeconds, PlusInfinity, "9223372036854775807"},
		{KeyMilliseconds, MinusInfinity, "-9223372036854775808"},
		{KeyUUID, at("2018-11-01 00:00"), "0166cc91-d000-0000-0000-000000000000"},
		{KeyUUID, at("1970-01-01 00:00"), "00000000-0000-0000-0000-000000000000"},
	} {
		if got := test.key.Encode(test.edge); got != test.text {
			t.Errorf("%s of %s is %s, want %s", test.key, test.edge, got, test.text)
		}
		if got, err := test.key.Decode(test.text); err != nil || got.Compare(test.edge) != 0 {
			t.Errorf("%s %s is %s, %v, want %s", test.key, test.text, got, err, test.edge)
		}
	}
	// What is between two values, or before the first, is the least value not before it.
	for _, test := range []struct {
		key        KeyType
		edge, text string
	}{
		{KeySeconds, "2018-11-01 00:00:00.000001", "1541030401"},
		{KeyUUID, "2018-11-01 00:00:00.000001", "0166cc91-d001-0000-0000-000000000000"},
		{KeyUUID, "1969-12-31 23:59", "00000000-0000-0000-0000-000000000000"},
	} {
		if got := test.key.Encode(at(test.edge)); got != test.text {
			t.Errorf("%s of %s is %s, want %s", test.key, test.edge, got, test.text)
		}
	}
	// Version, variant and the random bits say nothing of the time.
	if e, err := KeyUUID.Decode("0166cc91-d000-7abc-8def-0123456789ab"); err != nil || e.Compare(at("2018-11-01 00:00")) != 0 {
		t.Errorf("%s, %v", e, err)
	}
	for key, text := range map[KeyType]string{KeyUUID: "0166cc91", KeySeconds: "1.5"} {
		if e, err := key.Decode(text); err == nil {
			t.Errorf("%s %s is %s", key, text, e)
		}
	}
	for key, want := range map[KeyType]string{KeyDate: "date", KeyMilliseconds: "bigint", KeyUUID: "uuid", KeyTimestampTZ: "timestamp with time zone"} {
		if got := key.SQL(); got != want {
			t.Errorf("%s is %s in SQL, want %s", key, got, want)
		}
	}
}

// FuzzCodedKeys: encoding goes up with time, and to the first value at or after it.
func FuzzCodedKeys(f *testing.F) {
	f.Add(int64(1541030400), int64(123456789))
	f.Fuzz(func(t *testing.T, seconds, nanos int64) {
		at := time.Unix(seconds%200_000_000_000, nanos%1e9).UTC().Truncate(time.Microsecond)
		for _, key := range []KeyType{KeySeconds, KeyMilliseconds, KeyMicroseconds} {
			e, err := key.Decode(key.Encode(At(at)))
			if err != nil || e.Inf != 0 || e.Time.Before(at) || e.Time.Sub(at) >= time.Second/time.Duration(key.perSecond()) {
				t.Errorf("%s: %s becomes %s, %v", key, at, e, err)
			}
		}
	})
}
