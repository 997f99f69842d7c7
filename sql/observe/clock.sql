-- The server's clock again, at the end of the first round trip: with the first
-- reading and this machine's clock on both sides, the time that the queries
-- between took cancels out.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock;
