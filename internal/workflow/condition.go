package workflow

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// condition is an expression over one value (FunctionGraph reference 2.3): paths compared with literals, joined by && and ||, negated by !.
type condition struct {
	all  []*condition // && of these
	any  []*condition // || of these
	not  *condition
	left *path
	op   string // "" for: there is something, and it is neither false nor null
	lit  any
	wild bool // lit is a text with * in it
}

const maxCondition = 256 // characters

// parseCondition reads a condition. "" holds always.
func parseCondition(text string) (*condition, error) {
	if strings.TrimSpace(text) == "" {
		return &condition{}, nil
	}
	if len(text) > maxCondition {
		return nil, fmt.Errorf("a condition has at most %d characters", maxCondition)
	}
	p := &conditionParser{rest: text}
	c, err := p.or(0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q is left over", strings.TrimSpace(p.rest))
	}
	if err != nil {
		return nil, fmt.Errorf("the condition %q cannot be read: %w", text, err)
	}
	return c, nil
}

type conditionParser struct{ rest string }

func (p *conditionParser) skip(token string) bool {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *conditionParser) or(depth int) (*condition, error) {
	first, err := p.and(depth)
	if err != nil {
		return nil, err
	}
	all := []*condition{first}
	for p.skip("||") {
		next, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	if len(all) == 1 {
		return first, nil
	}
	return &condition{any: all}, nil
}

func (p *conditionParser) and(depth int) (*condition, error) {
	first, err := p.single(depth)
	if err != nil {
		return nil, err
	}
	all := []*condition{first}
	for p.skip("&&") {
		next, err := p.single(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	if len(all) == 1 {
		return first, nil
	}
	return &condition{all: all}, nil
}

const maxParens = 16

func (p *conditionParser) single(depth int) (*condition, error) {
	if depth > maxParens {
		return nil, fmt.Errorf("it nests deeper than %d", maxParens)
	}
	switch {
	case p.skip("("):
		c, err := p.or(depth + 1)
		if err == nil && !p.skip(")") {
			err = fmt.Errorf("a ')' is missing")
		}
		return c, err
	case p.skip("!"):
		c, err := p.single(depth + 1)
		return &condition{not: c}, err
	}
	return p.comparison()
}

func (p *conditionParser) comparison() (*condition, error) {
	n := pathEnd(p.rest)
	left, err := parsePath(p.rest[:n])
	if err != nil {
		return nil, err
	}
	p.rest = p.rest[n:]
	c := &condition{left: left}
	for _, op := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if !p.skip(op) {
			continue
		}
		c.op = op
		if c.lit, err = p.literal(); err != nil {
			return nil, err
		}
		text, isText := c.lit.(string)
		c.wild = isText && (op == "==" || op == "!=") && strings.Contains(text, "*")
		if _, isNumber := toFloat(c.lit); !isNumber && op != "==" && op != "!=" {
			return nil, fmt.Errorf("%s compares numbers only", op)
		}
		return c, nil
	}
	return c, nil
}

// pathEnd finds where a path ends: at a blank or an operator outside brackets and quotes.
func pathEnd(text string) int {
	depth, quote := 0, byte(0)
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case depth > 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '[' || c == '(' && depth > 0:
			depth++
		case c == ']' || c == ')' && depth > 0:
			depth--
		case depth == 0 && strings.IndexByte(" \t\r\n=!<>&|)", c) >= 0:
			return i
		}
	}
	return len(text)
}

// literal reads 'text', a number, true, false, nil or null.
func (p *conditionParser) literal() (any, error) {
	if p.skip("'") {
		return p.quoted()
	}
	p.skip("")
	n := strings.IndexAny(p.rest, " \t\r\n&|)")
	if n < 0 {
		n = len(p.rest)
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "nil", "null":
		return nil, nil
	}
	if i, err := strconv.ParseInt(word, 10, 64); err == nil {
		return i, nil
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil {
		return f, nil
	}
	return nil, fmt.Errorf("%q is no number, no 'text', and not true, false or nil", word)
}

// quoted reads the rest of a text in single quotes; a backslash takes the next character as it is.
func (p *conditionParser) quoted() (any, error) {
	var text strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\'':
			p.rest = p.rest[i+1:]
			return text.String(), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			text.WriteByte(p.rest[i])
		default:
			text.WriteByte(c)
		}
	}
	return nil, fmt.Errorf("a text does not end")
}

// holds tells whether the condition holds of a value.
func (c *condition) holds(v any) bool {
	switch {
	case c.not != nil:
		return !c.not.holds(v)
	case c.all != nil:
		for _, one := range c.all {
			if !one.holds(v) {
				return false
			}
		}
		return true
	case c.any != nil:
		for _, one := range c.any {
			if one.holds(v) {
				return true
			}
		}
		return false
	case c.left == nil:
		return true
	}
	found, ok := c.left.of(v)
	switch c.op {
	case "":
		return ok && found != nil && found != false
	case "==":
		return c.equal(found, ok)
	case "!=":
		return !c.equal(found, ok)
	}
	a, isNumber := toFloat(found)
	b, _ := toFloat(c.lit)
	switch {
	case !isNumber:
		return false
	case c.op == "<":
		return a < b
	case c.op == "<=":
		return a <= b
	case c.op == ">":
		return a > b
	}
	return a >= b
}

// equal compares; what is not there equals nil.
func (c *condition) equal(found any, ok bool) bool {
	if !ok || found == nil {
		return c.lit == nil
	}
	if text, isText := found.(string); isText && c.wild {
		return matches(c.lit.(string), text)
	}
	a, isNumber := toFloat(found)
	b, also := toFloat(c.lit)
	if isNumber && also {
		return a == b
	}
	return reflect.DeepEqual(found, c.lit)
}

// matches tells whether a text is as a pattern has it, in which * stands for any characters.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
