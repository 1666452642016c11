"""What uvicorn runs for `make serve`: the app of `mlflow models serve`, behind wbc.guard."""

from mlflow.pyfunc.scoring_server.app import app as scoring_server

from wbc.guard import Guard

app = Guard(scoring_server)
