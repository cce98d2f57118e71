package langtest

import (
	"maps"
	"slices"
	"strings"
)

// withPython27 gives the examples in Python to Python 2.7 too, but those that have another form there, or none.
func withPython27(cases []Case) []Case {
	// A str of bytes is a text, errors have no causes, nothing is asynchronous, and other messages stand for the same.
	none := []string{
		"result that is not JSON", "async and wrong handlers", "cause of an exception", "modules of the function hide none that the worker needs",
		"modules named like those of the system", "nothing left of a rehearsal", // of its templates, which 2.7 has none of
		"what a module knows of itself",
	}
	for i, c := range cases {
		text, other := python27Sources()[c.Name]
		switch {
		case other:
			cases[i].Sources["python27"] = map[string]string{"index.py": text}
		case c.Sources["python"] != nil && !slices.Contains(none, c.Name):
			files := maps.Clone(c.Sources["python"])
			if files["src/other.py"] == "" && strings.HasPrefix(files["src/index.py"], "import helper") {
				files["src/__init__.py"] = "" // no package without
			}
			cases[i].Sources["python27"] = files
		}
	}
	return cases
}

// python27Sources are examples that are written in another way than in Python 3.
func python27Sources() map[string]string {
	return map[string]string{
		"standard error":                                    "import sys, os, subprocess\ndef handler(event, context):\n    sys.stderr.write('a\\n')\n    subprocess.call('echo b >&2', shell=True)\n    sys.stderr.write('c')\n",
		"logger behind an unfinished line":                  "import sys\ndef handler(event, context):\n    sys.stdout.write('open')\n    context.getLogger().error('bad')\n",
		"what is printed comes before the answer, in order": "# coding: utf-8\nimport sys\ndef handler(event, context):\n    for i in range(100):\n        print 'line', i\n    print u'世界'\n    sys.stdout.write('unfinished')\n",
		"output replaced or closed": `
import os, sys, StringIO
def handler(event, context):
    if event == 0:
        sys.stdout = StringIO.StringIO()
    if event == 1:
        sys.__stdout__.close()
        sys.stderr = None
    context.getLogger().info("still here")
    print "x"
    return event
`,
		"syntax error": "x = 1\nprint('a' 'b') = 2\n",
	}
}
