// Package convert puts one way of partitioning in the place of another, without
// moving a row: a set by inheritance becomes a declarative one and goes back, and an
// ordinary table becomes the first partition of a declarative set.
//
// All that takes time is done before, while readers and writers go on: CHECKs that
// prove the bounds, NOT NULL of the key, indexes. What is left is one short
// transaction ([postgres.Session.Swap]). Between the two there is no state but that of
// the catalog: whoever is killed starts over, and finds done what was done.
//
// What such a first partition holds can be cut into periods afterwards ([RunDrain]). That
// does copy the rows, and keeps how far it is in a table beside the set.
package convert
