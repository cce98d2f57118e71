package main

import "fmt"

// language is what is measured of one: an echo function for hanshu, and a worker for the floor.
type language struct {
	Title   string // in the table
	Command string // the interpreter's name
	Flag    string // runs the text of a program
	Worker  string // the floor's program
	Prefix  string // of runtime names
	Handler string
	Source  string   // of the function
	Comment string   // begins one in Source
	Jar     []byte   // of the function, in place of a source
	Floor   []string // arguments of the floor's program, in place of Flag and Worker
	Bare    bool     // no language: the interpreter is this program under its other name, and is not measured cold
}

func languages() []language {
	return []language{
		{Title: "Python", Command: "python3", Flag: "-c", Worker: workerPython, Prefix: "Python3", Handler: "index.handler",
			Source: "def handler(event, context):\n    return event\n", Comment: "#"},
		{Title: "Node", Command: "node", Flag: "-e", Worker: workerNode, Prefix: "Node.js", Handler: "index.handler",
			Source: "exports.handler = async (event, context) => event;\n", Comment: "//"},
		{Title: "PHP", Command: "php", Flag: "-r", Worker: workerPHP, Prefix: "PHP8", Handler: "index.handler",
			Source: "<?php\nfunction handler($event, $context) { return $event; }\n", Comment: "//"},
		{Title: "Go frames", Command: fakeName, Prefix: "PHP" + fakeVersion, Handler: "index.handler", Source: "none", Bare: true},
	}
}

// floorWorker is the command of the floor's worker under an interpreter.
func (l language) floorWorker(interpreter string) []string {
	if l.Floor != nil {
		return append([]string{interpreter}, l.Floor...)
	}
	if l.Bare {
		return []string{interpreter, commandWorker}
	}
	return []string{interpreter, l.Flag, l.Worker}
}

// code gives the function's code, and its kind as the server names it.
func (l language) code() (kind string, file []byte) {
	if l.Jar != nil {
		return "jar", l.Jar
	}
	return "inline", []byte(l.Source)
}

// warm names a line about calls of a warm instance.
func (l language) warm(what string, clients int) string {
	return fmt.Sprintf("%s warm, c=%d, %s", l.Title, clients, what)
}
