package minapp

// Statuses is the mapping of expected failures.
var Statuses = statuses
