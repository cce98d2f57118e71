package faas

import (
	"fmt"
	"strings"
	"testing"
)

// asked is what came with a call: headers as they are, cookies behind "cookie:".
type asked map[string]string

func (a asked) HeaderValue(name string) string { return a[name] }
func (a asked) CookieValue(name string) string { return a["cookie:"+name] }

// TestSharesAreExact counts any hundred calls in a row, and ten thousand, at every weight.
func TestSharesAreExact(t *testing.T) {
	for weight := 0; weight <= 100; weight++ {
		a := Alias{Key: FunctionKey{Version: "v1"}, Additional: &Additional{Version: "v2", Weight: weight}}
		for _, from := range []uint64{0, 1, 17, 99} {
			for _, calls := range []int{100, 10_000} {
				got := 0
				for n := range calls {
					if a.Share(from+uint64(n)) == "v2" {
						got++
					}
				}
				if got != calls*weight/100 {
					t.Errorf("weight %d, %d calls from %d: %d", weight, calls, from, got)
				}
			}
		}
	}
}

// TestSharesStandApart holds ten percent to every tenth call or so: none waits long for its turn.
func TestSharesStandApart(t *testing.T) {
	a := Alias{Key: FunctionKey{Version: "v1"}, Additional: &Additional{Version: "v2", Weight: 10}}
	last, longest := 0, 0
	for n := range 1000 {
		if a.Share(uint64(n)) == "v2" {
			longest = max(longest, n-last)
			last = n
		}
	}
	if longest > 20 {
		t.Errorf("%d calls in a row went to the main version", longest)
	}
}

func TestRules(t *testing.T) {
	header := func(op, value string) AliasRule { return AliasRule{"Header", "X-A", op, value} }
	cookie := AliasRule{"cookie", "who", "in", "ada, bob"}
	for _, c := range []struct {
		rules []AliasRule
		any   bool
		asked asked
		fits  bool
	}{
		{[]AliasRule{header("=", "1")}, false, asked{"X-A": "1"}, true},
		{[]AliasRule{header("=", "1")}, false, asked{"X-A": "2"}, false},
		{[]AliasRule{header("=", "1")}, false, asked{}, false},
		{[]AliasRule{header("=", "1,2")}, false, asked{"X-A": "1"}, false},
		{[]AliasRule{header("in", "1,2")}, false, asked{"X-A": "2"}, true},
		{[]AliasRule{header("in", "1,,2")}, false, asked{"X-A": ""}, false},
		{[]AliasRule{cookie}, false, asked{"cookie:who": "bob"}, true},
		{[]AliasRule{cookie}, false, asked{"who": "bob"}, false},
		{[]AliasRule{cookie, header("=", "1")}, false, asked{"cookie:who": "bob"}, false},
		{[]AliasRule{cookie, header("=", "1")}, false, asked{"cookie:who": "bob", "X-A": "1"}, true},
		{[]AliasRule{cookie, header("=", "1")}, true, asked{"X-A": "1"}, true},
		{[]AliasRule{cookie, header("=", "1")}, true, asked{"X-A": "2"}, false},
	} {
		a := Alias{Key: FunctionKey{Version: "v1"}, Additional: &Additional{Version: "v2", Rules: c.rules, Any: c.any, Weight: 100}}
		want := map[bool]string{true: "v2", false: "v1"}[c.fits]
		if got := a.Rule(c.asked); got != want {
			t.Errorf("%+v of %v: %s", c.asked, c.rules, got)
		}
		if got := a.Rule(nil); got != "v1" {
			t.Errorf("a call that nothing came with goes to %s", got)
		}
		if got := a.Share(1); got != "v1" {
			t.Errorf("an alias with rules shares out: %s", got)
		}
	}
	if got := (&Alias{}).Rule(asked{}); got != "" {
		t.Errorf("without rules: %q", got)
	}
}

func TestNamesOfVersionsAndAliases(t *testing.T) {
	for name, ok := range map[string][2]bool{
		"v1": {true, true}, "v20260102-030405": {true, true}, "1.2.3": {true, false}, "1": {true, false}, "a": {true, true}, "a-b_c": {true, true},
		"": {}, "latest": {false, true}, "a.": {}, "-a": {}, "a-": {}, "a b": {}, "ä": {}, "a:b": {}, "!a": {},
		strings.Repeat("v", 42): {true, true}, strings.Repeat("v", 43): {false, true}, strings.Repeat("v", 65): {},
	} {
		if got := CheckVersionName(name) == nil; got != ok[0] {
			t.Errorf("version %q: %v", name, got)
		}
		if got := CheckAliasName(name) == nil; got != ok[1] {
			t.Errorf("alias %q: %v", name, got)
		}
	}
}

func ExampleAlias_Share() {
	a := Alias{Key: FunctionKey{Version: "v1"}, Additional: &Additional{Version: "v2", Weight: 25}}
	for n := range uint64(8) {
		fmt.Print(a.Share(n), " ")
	}
	// Output: v2 v1 v2 v1 v1 v2 v1 v1
}
