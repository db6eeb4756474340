CREATE INDEX work_order_state ON work_order (state, changed_at);
