package postgres

import "strings"

// tokenKind is what a token of a deparsed expression is.
type tokenKind uint8

const (
	// tokenWord is an identifier or key word as it is written without quotes.
	tokenWord tokenKind = iota
	// tokenQuoted is an identifier in double quotes; its text is without them.
	tokenQuoted
	tokenString
	tokenNumber
	// tokenOperator is a run of operator characters, or the cast "::".
	tokenOperator
	// tokenPunct is one of ( ) [ ] , .
	tokenPunct
)

type token struct {
	kind tokenKind
	text string
}

func (t token) is(kind tokenKind, text string) bool { return t.kind == kind && t.text == text }

// isName tells whether the token is the identifier, quoted or not: PostgreSQL
// quotes what it prints only where it has to, as for capital letters. A word with
// such is no identifier: CURRENT_DATE is a function.
func (t token) isName(name string) bool {
	return t.text == name && (t.kind == tokenQuoted || t.kind == tokenWord && strings.ToLower(name) == name)
}

const operatorChars = "+-*/<>=~!@#%^&|`?"

// tokenize splits what PostgreSQL deparsed (PostgreSQL documentation, 4.1
// Lexical Structure). There are no comments and no unclosed quotes in that; a
// text that is not of this kind is answered with false.
func tokenize(text string) ([]token, bool) {
	var out []token
	for i := 0; i < len(text); {
		c := text[i]
		n := 0
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
			continue
		case isWordStart(c):
			n = spanOf(text[i:], isWordPart)
			if word := text[i : i+n]; (word == "E" || word == "e") && strings.HasPrefix(text[i+n:], "'") {
				s, length, ok := quoted(text[i+n:], '\'', true)
				if !ok {
					return nil, false
				}
				out = append(out, token{tokenString, s})
				i += n + length
				continue
			}
			out = append(out, token{tokenWord, text[i : i+n]})
		case c >= '0' && c <= '9':
			n = spanOf(text[i:], func(c byte) bool { return isWordPart(c) || c == '.' })
			out = append(out, token{tokenNumber, text[i : i+n]})
		case c == '\'' || c == '"':
			s, length, ok := quoted(text[i:], c, false)
			if !ok {
				return nil, false
			}
			kind := tokenString
			if c == '"' {
				kind = tokenQuoted
			}
			n = length
			out = append(out, token{kind, s})
		case strings.HasPrefix(text[i:], "::"):
			n = 2
			out = append(out, token{tokenOperator, "::"})
		case strings.IndexByte(operatorChars, c) >= 0:
			n = spanOf(text[i:], func(c byte) bool { return strings.IndexByte(operatorChars, c) >= 0 })
			out = append(out, token{tokenOperator, text[i : i+n]})
		case strings.IndexByte("()[],.", c) >= 0:
			n = 1
			out = append(out, token{tokenPunct, text[i : i+1]})
		default:
			return nil, false
		}
		i += n
	}
	return out, true
}

func isWordStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func isWordPart(c byte) bool { return isWordStart(c) || c >= '0' && c <= '9' || c == '$' }

func spanOf(s string, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

// quoted reads a quoted text at the start of s, in which a doubled quote stands
// for itself. It returns the text, and the length with both quotes. In an escape
// string a backslash keeps the next byte; only its length matters here, for no
// date has one.
func quoted(s string, quote byte, escapes bool) (text string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\' && i+1 < len(s):
			b.WriteByte(s[i])
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return b.String(), i + 1, true
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}

// unwrap takes off parentheses around the whole.
func unwrap(t []token) []token {
	for len(t) >= 2 && t[0].is(tokenPunct, "(") && closing(t, 0) == len(t)-1 {
		t = t[1 : len(t)-1]
	}
	return t
}

// closing returns where the parenthesis or bracket at i closes, or -1.
func closing(t []token, i int) int {
	depth := 0
	for ; i < len(t); i++ {
		depth += nesting(t[i])
		if depth == 0 {
			return i
		}
	}
	return -1
}

func nesting(t token) int {
	if t.kind == tokenPunct {
		switch t.text {
		case "(", "[":
			return 1
		case ")", "]":
			return -1
		}
	}
	return 0
}

// splitAt splits at the tokens outside of parentheses for which at is true.
func splitAt(t []token, at func(token) bool) [][]token {
	var parts [][]token
	depth, from := 0, 0
	for i, tok := range t {
		depth += nesting(tok)
		if depth == 0 && at(tok) {
			parts = append(parts, t[from:i])
			from = i + 1
		}
	}
	return append(parts, t[from:])
}
