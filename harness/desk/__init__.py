"""The desk of a center: where applicants, testers, reviewers and approvers work, and where the public looks.

``flow`` is the one state machine; the database holds every step against it too. Pages and API are two faces of the same
functions (``harness.desk.web``). Needs the extra ``desk``.
"""
