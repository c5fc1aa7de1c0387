"""Turn findings into a graduated, reversible answer: ladder, policy, plans, approvals, undo and an audit journal."""
