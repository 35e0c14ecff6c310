package commands

// accountTable has the commands on accounts of every kind that the reference
// does not have.
var accountTable = []entry{}
