"""A search object of scikit-learn whose configurations are trials of an experiment."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from orchestune.sklearn import SearchCV

train, test, train_digits, test_digits = train_test_split(*load_digits(return_X_y=True), random_state=0)
search = SearchCV(
    make_pipeline(StandardScaler(), SVC()),
    {
        "standardscaler": [StandardScaler(), MinMaxScaler()],
        "svc__C": "0.01..100 log",
        "svc__gamma": "1e-4..1 log",
    },
    n_iter=12,
    n_jobs=2,
    cv=3,
    random_state=0,
)
search.fit(train, train_digits)
print(f"best: {search.best_params_}, {search.best_score_:.3f} in cross-validation")
print(f"accuracy on images that it has not seen: {search.score(test, test_digits):.3f}")
