// Package need is how a test asks for something that not every machine has. It must not know what the test is about.
package need

import (
	"os"
	"testing"
)

// Env gives the value of an environment variable, and skips the test where it is not set, saying how to set it.
func Env(t testing.TB, name, how string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		Skip(t, "set "+name+": "+how)
	}
	return value
}

// Skip skips the test because the machine lacks something. With HANSHU_TEST_NO_SKIP=1, which CI sets, it fails instead, so
// that no suite goes unnoticed.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("HANSHU_TEST_NO_SKIP") == "1" {
		t.Fatal("nothing may be skipped here: " + why)
	}
	t.Skip(why)
}
