// Package tap prints the Test Anything Protocol, as far as the validation programs of runtime-tools call it: Debian does not package the
// library that they name.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T is a series of tests.
type T struct {
	count  *int
	todo   bool
	Writer io.Writer
}

// New makes a series that prints to standard output.
func New() *T {
	return &T{count: new(int), Writer: os.Stdout}
}

// Header prints the version and, if it is known, the number of tests.
func (t *T) Header(planned int) {
	fmt.Fprintln(t.Writer, "TAP version 13")
	if planned > 0 {
		fmt.Fprintf(t.Writer, "1..%d\n", planned)
	}
}

// AutoPlan prints the number of tests that were run.
func (t *T) AutoPlan() {
	fmt.Fprintf(t.Writer, "1..%d\n", *t.count)
}

// Count is the number of tests that were run.
func (t *T) Count() int {
	return *t.count
}

// Ok prints the result of one test.
func (t *T) Ok(good bool, about string) {
	*t.count++
	word := "ok"
	if !good {
		word = "not ok"
	}
	if t.todo {
		about += " # TODO"
	}
	fmt.Fprintf(t.Writer, "%s %d - %s\n", word, *t.count, about)
}

// Todo is the same series, for tests that are known not to pass.
func (t *T) Todo() *T {
	return &T{count: t.count, todo: true, Writer: t.Writer}
}

// Pass prints a test that passed.
func (t *T) Pass(about string) {
	t.Ok(true, about)
}

// Fail prints a test that failed.
func (t *T) Fail(about string) {
	t.Ok(false, about)
}

// Skip prints tests that were not run.
func (t *T) Skip(count int, why string) {
	for i := 0; i < count; i++ {
		*t.count++
		fmt.Fprintf(t.Writer, "ok %d # SKIP %s\n", *t.count, why)
	}
}

// Diagnostic prints a comment.
func (t *T) Diagnostic(text string) {
	fmt.Fprintf(t.Writer, "# %s\n", strings.ReplaceAll(text, "\n", "\n# "))
}

// Diagnosticf prints a comment.
func (t *T) Diagnosticf(format string, values ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, values...))
}

// YAML prints a value under the last test. JSON is YAML.
func (t *T) YAML(value interface{}) error {
	text, err := json.MarshalIndent(value, "  ", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.Writer, "  ---\n  %s\n  ...\n", text)
	return err
}
