import json
import sys

import keras
import numpy as np

from orchestune.integrations.keras import OrchestuneCallback

keras.utils.set_random_seed(0)
x = np.linspace(0, 1, 32).reshape(-1, 1)
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
callback = OrchestuneCallback()
for epochs in map(int, sys.argv[1:]):
    history = model.fit(x, 2 * x, epochs=epochs, validation_data=(x, 2 * x), verbose=0, callbacks=[callback])
print(json.dumps({name: history.history[name] for name in ("loss", "val_loss")}))
